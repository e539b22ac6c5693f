"""The runs of the AGH API."""
