"""Webhook endpoints of tenants, and the deliveries of events to them."""
