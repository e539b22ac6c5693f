"""The Avala API, at `/api/v1`."""
