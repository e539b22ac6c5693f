"""The state of the server, for its operator."""
