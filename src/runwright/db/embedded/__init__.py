"""A private PostgreSQL in the data directory, for those who bring none of their own."""

from runwright.db.embedded.account import EmbeddedError
from runwright.db.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedError", "EmbeddedPostgres"]
