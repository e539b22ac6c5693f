"""A private PostgreSQL in the data directory, used where no `database_url` is set."""

from runwright.db.embedded.account import EmbeddedError
from runwright.db.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedError", "EmbeddedPostgres"]
