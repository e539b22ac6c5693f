"""Webhook endpoints, their deliveries and payloads."""
