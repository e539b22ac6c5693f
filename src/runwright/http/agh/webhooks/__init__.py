"""The webhooks of the AGH API."""
