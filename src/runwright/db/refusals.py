"""What a database refuses at a start or to a command, as one line and what to do about it."""

import ssl
from typing import Final

import asyncpg
import msgspec


class DatabaseRefusal(msgspec.Struct, frozen=True):
    """What is wrong, and what an operator can do."""

    message: str
    hint: str


_BY_ERROR: Final[tuple[tuple[type[BaseException], str, str], ...]] = (
    (
        asyncpg.InvalidCatalogNameError,
        "The database does not exist",
        "Create it (CREATE DATABASE …), or name another one in --database-url.",
    ),
    (asyncpg.InvalidPasswordError, "The database refuses the password", "Correct it in --database-url."),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "The database refuses the login",
        "Check the role, and the rule for this host in pg_hba.conf (does it need sslmode=require?).",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "The role may not do this in the database",
        "Let it create tables: GRANT CREATE, USAGE ON SCHEMA public TO the role, or make it the owner.",
    ),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "The database is read-only",
        "It is a standby, or set to be read-only: name the primary in --database-url.",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "The database has no connection left",
        "Raise its max_connections, or lower db_pool_size; docs/operations.md has what each process needs.",
    ),
    (
        ssl.SSLCertVerificationError,
        "The certificate of the database is not valid for it",
        "Check the host's name in --database-url, and sslrootcert.",
    ),
    (
        asyncpg.ClientConfigurationError,
        "The address of the database cannot be used",
        "Check --database-url.",
    ),
)


def explain_refusal(error: BaseException) -> DatabaseRefusal | None:
    """Return what the database has refused; None for any other error."""
    for kind, message, hint in _BY_ERROR:
        if isinstance(error, kind):
            return DatabaseRefusal(f"{message}: {_first_line(error)}", hint)
    return None


def _first_line(error: BaseException) -> str:
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return reason.partition("\n")[0].rstrip(".") + "."
