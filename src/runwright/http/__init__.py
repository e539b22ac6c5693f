"""The HTTP edge: one ASGI application, its dialects, and the server that runs it."""
