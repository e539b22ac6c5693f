"""Forward-only migrations: the files `migrations/NNNN_name.sql`, applied in order.

Each file is applied in a transaction of its own, under an advisory lock, and recorded with its
checksum in that transaction; so any number of servers may start at once, and one that dies
half way leaves a schema that the next one carries on from.

Refused, naming what differs: a schema that is newer than the code, an older one where the caller
does not migrate, and a file that was edited after it had been applied.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import asyncpg
import msgspec

from runwright.core.errors import RunwrightError
from runwright.db.pool import Connection, transient

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_ADVISORY_LOCK: Final = 7_012_019_417_224_001
"""Any number that nobody else on the database uses."""

_CREATE_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class SchemaError(RunwrightError):
    """The database's schema and this version of the code do not fit."""

    code = "schema"


class Migration(msgspec.Struct, frozen=True):
    """One migration file."""

    version: int
    name: str
    sql: str
    checksum: str

    @property
    def label(self) -> str:
        """How messages name it, for example `0001_workers_and_jobs`."""
        return f"{self.version:04d}_{self.name}"


class Applied(msgspec.Struct, frozen=True):
    """One row of the ledger."""

    version: int
    name: str
    checksum: str


def bundled_migrations() -> Sequence[Migration]:
    """Return the migrations that this version of the code brings, in order."""
    return read_migrations((resources.files("runwright.db") / "migrations").iterdir())


def read_migrations(files: Iterable[Traversable]) -> Sequence[Migration]:
    """Read migration files and check that they are numbered 1, 2, 3, … without gaps."""
    migrations = sorted(
        (_read(file) for file in files if file.name.endswith(".sql")), key=lambda migration: migration.version
    )
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise SchemaError(f"Migration {expected:04d} is missing or there twice; found {migration.label}.")
    return migrations


def _read(file: Traversable) -> Migration:
    match = _FILE_NAME.fullmatch(file.name)
    if match is None:
        raise SchemaError(f"{file.name} is not named like a migration (NNNN_name.sql).")
    text = file.read_bytes()
    return Migration(
        version=int(match[1]),
        name=match[2],
        sql=text.decode(),
        checksum=hashlib.sha256(text).hexdigest(),
    )


async def migrate(connection: Connection, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Bring the schema up to the code's version; return what was applied, oldest first."""
    wanted = bundled_migrations() if migrations is None else migrations
    done: list[Migration] = []
    while (step := await _apply_next(connection, wanted)) is not None:
        done.append(step)
    return done


async def require_current(connection: Connection, migrations: Sequence[Migration] | None = None) -> None:
    """Raise SchemaError unless the schema is exactly the code's."""
    wanted = bundled_migrations() if migrations is None else migrations
    applied = await _ledger(connection)
    _refuse_mismatch(applied, wanted)
    if len(applied) < len(wanted):
        raise SchemaError(
            f"The database has schema version {len(applied)} and this code needs {len(wanted)}. "
            "Run `runwright db migrate`, or start the server, which migrates by itself."
        )


async def schema_version(connection: Connection) -> int:
    """Return the version of the database's schema; 0 for an empty database."""
    return max((row.version for row in await _ledger(connection)), default=0)


async def _apply_next(connection: Connection, wanted: Sequence[Migration]) -> Migration | None:
    # The lock belongs to the transaction, not to the session: that also works behind a
    # transaction pooler, and nothing is held when this process dies.
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        applied = await _ledger(connection)
        _refuse_mismatch(applied, wanted)
        if len(applied) == len(wanted):
            return None
        step = wanted[len(applied)]
        await connection.execute(_CREATE_LEDGER)
        await _run(connection, step)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            step.version,
            step.name,
            step.checksum,
        )
        return step


async def _run(connection: Connection, step: Migration) -> None:
    try:
        await connection.execute(step.sql)
    except asyncpg.PostgresError as error:
        if transient(error):
            raise
        raise SchemaError(f"Migration {step.label} cannot be applied: {error}") from error


async def _ledger(connection: Connection) -> list[Applied]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return []
    rows = await connection.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    return [Applied(*row) for row in rows]


def _refuse_mismatch(applied: Sequence[Applied], wanted: Sequence[Migration]) -> None:
    newest = max((row.version for row in applied), default=0)
    if newest > len(wanted):
        raise SchemaError(
            f"The database has schema version {newest} and this code knows only {len(wanted)}. "
            "Use the newer version of Runwright that migrated it."
        )
    for row, migration in zip(applied, wanted, strict=False):
        if (row.version, row.checksum) != (migration.version, migration.checksum):
            raise SchemaError(
                f"Migration {migration.label} was changed after it had been applied "
                f"(applied {row.checksum[:12]}, now {migration.checksum[:12]}). Restore the file."
            )
