"""The runtimes of this server."""
