"""The triggers of the AGH API."""
