"""The stream of a tenant's events."""
