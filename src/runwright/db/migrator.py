"""Forward-only migrations: the files `migrations/NNNN_name.sql`, applied in order.

Protocol (docs/decisions/0023):

- Each file is applied in a transaction of its own, under an advisory lock, and recorded with its
  checksum in that transaction. Any number of servers may start at once; one that dies half way
  leaves a schema that the next one completes.
- `releases.toml` records which files each release contains. A released file never changes.
- Expand, then contract: the files of a release are compatible with the code of the release before
  it. What old code needs is removed one release later.
- So a process accepts a schema that is one release newer than its code. It refuses one that is
  older (unless it may migrate), one that is more than a release newer, and one whose applied files
  differ from its own; the error names both versions.
- A statement that has to wait longer than LOCK_TIMEOUT for a table's lock is rolled back and retried,
  because every query on that table would queue behind it.
"""

import asyncio
import hashlib
import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import asyncpg
import msgspec

from runwright.core.errors import RunwrightError
from runwright.db.errors import transient
from runwright.db.pool import Connection

LOCK_TIMEOUT: Final = "2s"
LOCK_ATTEMPTS: Final = 30
LOCK_PAUSE_SECONDS: Final = 0.5

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_ADVISORY_LOCK: Final = 7_012_019_417_224_001
"""An arbitrary number, for this purpose only."""

_CREATE_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
-- the oldest code, by the schema version that it contains, that works after this migration
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS compatible_from integer
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
    compatible_from: int | None = None
    """The schema version of the oldest code that works after it; None: only code that contains it."""

    @property
    def label(self) -> str:
        """Return its name for messages, for example `0001_workers_and_jobs`."""
        return f"{self.version:04d}_{self.name}"


class Release(msgspec.Struct, frozen=True):
    """One release in `releases.toml`."""

    version: str
    commit: str
    schema: int
    """The newest migration that it contains."""
    digest: str
    """That of all its migration files (`digest_of`)."""


class Applied(msgspec.Struct, frozen=True):
    """One row of the ledger."""

    version: int
    name: str
    checksum: str
    compatible_from: int | None


def bundled_releases() -> Sequence[Release]:
    """Return the releases so far, oldest first."""
    text = (_bundled_files() / "releases.toml").read_text()
    return msgspec.convert(tomllib.loads(text)["release"], list[Release])


def bundled_migrations() -> Sequence[Migration]:
    """Return the migrations that this version of the code contains, in order."""
    return read_migrations(_bundled_files().iterdir(), bundled_releases())


def read_migrations(files: Iterable[Traversable], releases: Sequence[Release] = ()) -> Sequence[Migration]:
    """Read migration files and check that they are numbered 1, 2, 3, … without gaps."""
    migrations = sorted(
        (_read(file, releases) for file in files if file.name.endswith(".sql")),
        key=lambda migration: migration.version,
    )
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise SchemaError(f"Migration {expected:04d} is missing or duplicated; found {migration.label}.")
    return migrations


def digest_of(migrations: Iterable[Migration]) -> str:
    """Return one digest of all these files, for `releases.toml`."""
    return hashlib.sha256("".join(migration.checksum for migration in migrations).encode()).hexdigest()


class SchemaStatus(msgspec.Struct, frozen=True):
    """The newest migration of a database, None for an empty one, and of this code."""

    applied: str | None
    known: str
    pending: Sequence[str]
    """What a migration would apply, oldest first."""
    problem: str | None
    """Why this code may not start on the database."""


async def migrate(connection: Connection, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Migrate the schema to the code's version; return what was applied, oldest first."""
    known = bundled_migrations() if migrations is None else migrations
    applied: list[Migration] = []
    while (step := await _apply_next_patiently(connection, known)) is not None:
        applied.append(step)
    return applied


async def prepare_schema(
    connection: Connection, *, may_migrate: bool, migrations: Sequence[Migration] | None = None
) -> list[Migration]:
    """Migrate an empty database, or any where the caller may; raise SchemaError unless it fits."""
    known = bundled_migrations() if migrations is None else migrations
    if may_migrate or await schema_version(connection) == 0:
        return await migrate(connection, known)
    await require_compatible(connection, known)
    return []


async def require_compatible(connection: Connection, migrations: Sequence[Migration] | None = None) -> None:
    """Raise SchemaError unless the code works on the schema: its own, or that of the next release."""
    known = bundled_migrations() if migrations is None else migrations
    applied = await _ledger(connection)
    _check_ledger(applied, known)
    if len(applied) < len(known):
        raise SchemaError(
            f"The database has schema version {len(applied)} and this code needs {len(known)}. "
            "Run `runwright db migrate`, or start one server with `--migrate`."
        )


async def schema_status(
    connection: Connection, migrations: Sequence[Migration] | None = None
) -> SchemaStatus:
    """Return what the database has, what this code has, and whether they fit."""
    known = bundled_migrations() if migrations is None else migrations
    applied = await _ledger(connection)
    try:
        if applied:  # an empty database is migrated by the first server
            await require_compatible(connection, known)
    except SchemaError as error:
        problem: str | None = error.message
    else:
        problem = None
    return SchemaStatus(
        applied=f"{applied[-1].version:04d}_{applied[-1].name}" if applied else None,
        known=known[-1].label,
        pending=[migration.label for migration in known[len(applied) :]],
        problem=problem,
    )


async def schema_version(connection: Connection) -> int:
    """Return the version of the database's schema; 0 for an empty database."""
    return max((row.version for row in await _ledger(connection)), default=0)


def _bundled_files() -> Traversable:
    return resources.files("runwright.db") / "migrations"


def _read(file: Traversable, releases: Sequence[Release]) -> Migration:
    match = _FILE_NAME.fullmatch(file.name)
    if match is None:
        raise SchemaError(f"{file.name} is not named like a migration (NNNN_name.sql).")
    text, version = file.read_bytes(), int(match[1])
    return Migration(
        version=version,
        name=match[2],
        sql=text.decode(),
        checksum=hashlib.sha256(text).hexdigest(),
        compatible_from=max((one.schema for one in releases if one.schema < version), default=None),
    )


async def _apply_next_patiently(connection: Connection, known: Sequence[Migration]) -> Migration | None:
    for _ in range(LOCK_ATTEMPTS):
        try:
            return await _apply_next(connection, known)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(LOCK_PAUSE_SECONDS)
    raise SchemaError(
        "The migration did not get the lock of a table that it changes: a long transaction holds it. "
        "End that transaction and migrate again."
    )


async def _apply_next(connection: Connection, known: Sequence[Migration]) -> Migration | None:
    # The lock belongs to the transaction, not to the session: that also works behind a
    # transaction pooler, and nothing is held when this process dies.
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        applied = await _ledger(connection)
        _check_ledger(applied, known)
        if len(applied) >= len(known):
            return None
        step = known[len(applied)]
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute(_CREATE_LEDGER)
        await _run(connection, step)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum, compatible_from)"
            " VALUES ($1, $2, $3, $4)",
            step.version,
            step.name,
            step.checksum,
            step.compatible_from,
        )
        return step


async def _run(connection: Connection, step: Migration) -> None:
    try:
        await connection.execute(step.sql)
    except asyncpg.PostgresError as error:
        if transient(error) or isinstance(error, asyncpg.LockNotAvailableError):
            raise
        raise SchemaError(f"Migration {step.label} cannot be applied: {error}") from error


async def _ledger(connection: Connection) -> list[Applied]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return []
    # The row as JSON, because a database that only version 0.1.0 has migrated lacks compatible_from.
    rows = await connection.fetch(
        "SELECT version, name, checksum, (to_json(m) ->> 'compatible_from')::integer"
        " FROM schema_migrations AS m ORDER BY version"
    )
    return [Applied(*row) for row in rows]


def _check_ledger(applied: Sequence[Applied], known: Sequence[Migration]) -> None:
    """Raise SchemaError where applied files differ from the known ones, or unknown ones exclude this code."""
    for row, migration in zip(applied, known, strict=False):
        if (row.version, row.checksum) != (migration.version, migration.checksum):
            raise SchemaError(
                f"Migration {migration.label} was changed after it had been applied "
                f"(applied {row.checksum[:12]}, now {migration.checksum[:12]}). Restore the file."
            )
    for row in applied[len(known) :]:
        if row.compatible_from is None or row.compatible_from > len(known):
            newest = applied[-1].version
            raise SchemaError(
                f"The database has schema version {newest} and this code knows only {len(known)}. "
                "Use the newer version of Runwright that migrated it."
            )
