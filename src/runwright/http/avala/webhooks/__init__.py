"""Webhook endpoints and the payloads of their deliveries."""
