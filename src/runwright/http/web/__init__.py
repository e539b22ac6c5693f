"""The dashboard, at the root of the server."""
