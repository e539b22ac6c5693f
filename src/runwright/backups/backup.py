"""Makes a backup of a running or a stopped installation, from one snapshot of its database."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import asyncpg
import msgspec

from runwright import __version__
from runwright.backups.archive import ArchiveWriter, MemberSink, written
from runwright.backups.model import DUMP, VAULT_KEY, BackupError, BackupManifest, CopyProgress
from runwright.backups.postgres_tools import find_tools, read_from, target_of
from runwright.core.clock import Clock
from runwright.db.migrator import schema_version
from runwright.db.pool import Connection, connect, open_pool
from runwright.secrets.encrypted_columns import EncryptedColumn
from runwright.secrets.rotation import count_by_key

_APPLICATION: Final = "runwright backup"
_CONNECT_SECONDS: Final = 3.0
_TABLE: Final = re.compile(r'dumping contents of table "public\.(\w+)"')

_TABLES: Final = """
SELECT relname::text AS name, pg_table_size(oid) AS bytes FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
"""


class _Snapshot(msgspec.Struct, frozen=True):
    """What the database contained at one moment."""

    id: str
    at: datetime
    postgres: int
    schema_version: int
    rows: dict[str, int]
    bytes: dict[str, int]


async def make_backup(
    dsn: str,
    file: IO[bytes],
    *,
    columns: Sequence[EncryptedColumn],
    vault_key: str | None,
    clock: Clock,
    programs: Path | None,
    progress: CopyProgress,
) -> BackupManifest:
    """Write a backup of a database to a file, and return its description.

    `vault_key` is the text to include, `programs` the folder of the tools, by default where they are found.
    """
    connection = await connect(dsn, application_name=_APPLICATION, within_seconds=_CONNECT_SECONDS)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await _take_snapshot(connection, clock())
            tools = find_tools(snapshot.postgres, programs)
            writer = ArchiveWriter(file)
            with writer.adding(DUMP) as sink:
                await _dump(dsn, tools, snapshot, sink, progress)
    finally:
        await connection.close()
    if vault_key is not None:
        with writer.adding(VAULT_KEY) as sink:
            sink.write(vault_key.encode())
    manifest = BackupManifest(
        runwright=__version__,
        created_at=snapshot.at,
        postgres=snapshot.postgres,
        schema_version=snapshot.schema_version,
        rows=snapshot.rows,
        vault_keys=await _count_secrets(dsn, columns),
        members=writer.members,
    )
    writer.finish(manifest)
    return manifest


async def _take_snapshot(connection: Connection, now: datetime) -> _Snapshot:
    """Return the state that this transaction sees, with the name by which others can see it too."""
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the dump takes its time
    snapshot_id = await connection.fetchval("SELECT pg_export_snapshot()")
    version = await schema_version(connection)
    if version == 0:
        raise BackupError("The database is empty: no server has been started on it yet.")
    tables = await connection.fetch(_TABLES)
    rows = {
        row["name"]: int(await connection.fetchval(f'SELECT count(*) FROM public."{row["name"]}"'))  # noqa: S608
        for row in tables
    }
    return _Snapshot(
        id=snapshot_id,
        at=now,
        postgres=connection.get_server_version().major,
        schema_version=version,
        rows=rows,
        bytes={row["name"]: row["bytes"] for row in tables},
    )


async def _dump(dsn: str, tools: Path, snapshot: _Snapshot, sink: MemberSink, progress: CopyProgress) -> None:
    target = target_of(dsn)
    command = [
        str(tools / "pg_dump"),
        f"--dbname={target.dsn}",
        "--format=custom",
        f"--snapshot={snapshot.id}",
        "--no-owner",
        "--no-privileges",
        "--no-password",
        "--verbose",
    ]
    meter = _DumpMeter(snapshot.bytes, progress)
    await read_from(command, target.environment, sink.write, meter.take)


class _DumpMeter:
    """Follows pg_dump by its messages, weighing tables by their size."""

    def __init__(self, sizes: Mapping[str, int], progress: CopyProgress) -> None:
        self._sizes = sizes
        self._progress = progress
        self._total = sum(sizes.values())
        self._done = 0
        self._current = 0

    def take(self, line: str) -> None:
        """Take a message into account."""
        found = _TABLE.search(line)
        if found is not None:
            self._done += self._current
            self._current = self._sizes.get(found[1], 0)
            self._progress(self._done, self._total)


async def _count_secrets(dsn: str, columns: Sequence[EncryptedColumn]) -> dict[str, int]:
    pool = await open_pool(dsn, max_size=1, application_name=_APPLICATION)
    try:
        return await count_by_key(pool, columns)
    except asyncpg.UndefinedTableError:  # a schema that had no secrets yet
        return {}
    finally:
        await pool.close()


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Yield a private file that appears at `path` when it is complete, and not at all if it fails."""
    if path.exists() and not replace:
        raise BackupError(f"{path} exists.", hint="Choose another name, or give --force.")
    part = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
    try:
        with _open_private(part) as file:
            yield file
            with written():
                file.flush()
                os.fsync(file.fileno())
        with written():
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _open_private(path: Path) -> IO[bytes]:
    with written():
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
