"""The jobs of the AGH API."""
