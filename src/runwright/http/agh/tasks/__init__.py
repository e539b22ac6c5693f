"""The tasks of the AGH API."""
