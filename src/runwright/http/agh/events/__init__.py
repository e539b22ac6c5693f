"""The events of the AGH API."""
