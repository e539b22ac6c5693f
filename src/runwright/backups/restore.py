"""Restores a backup into an empty place, as a whole or not at all.

The embedded database is made in a folder beside its place and moved there when every row has been counted;
into a database of one's own everything is restored in one transaction. So what is interrupted leaves an
installation as empty as it was.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from runwright.backups.archive import ArchiveReader
from runwright.backups.model import DUMP, VAULT_KEY, BackupError, BackupManifest, CopyProgress
from runwright.backups.postgres_tools import find_tools, target_of, write_to
from runwright.config.private_file import make_private_file
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.embedded.account import postgres_account
from runwright.db.embedded.layout import Layout
from runwright.db.migrator import bundled_migrations
from runwright.db.pool import Connection, connect
from runwright.secrets.key_source import FILE_NAME as VAULT_KEY_FILE

_STAGE: Final = ".restoring"
_CLUSTER: Final = "pg"
_APPLICATION: Final = "runwright restore"
_CONNECT_SECONDS: Final = 3.0
_NOT_OURS: Final = frozenset({"lost+found"})
"""What an empty file system has."""

_OBJECTS: Final = """
SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = ANY('{r,p,v,m,S}')
"""


async def restore_embedded(
    reader: ArchiveReader, data_dir: Path, *, programs: Path | None, progress: CopyProgress
) -> None:
    """Restore into a data directory that is missing or empty. BackupError if it is neither."""
    require_schema(reader.manifest)
    async with staged(data_dir) as stage:
        server = EmbeddedPostgres(stage)
        try:
            await _restore(reader, await server.start(), programs, progress)
        finally:
            await server.stop()
        put_into_place(stage, data_dir)
        if reader.manifest.has_vault_key:
            make_private_file(data_dir / VAULT_KEY_FILE, reader.text(VAULT_KEY))


async def restore_database(
    reader: ArchiveReader, dsn: str, data_dir: Path, *, programs: Path | None, progress: CopyProgress
) -> None:
    """Restore into an empty database of one's own; the vault's key, if there is one, into `data_dir`."""
    require_schema(reader.manifest)
    key = data_dir / VAULT_KEY_FILE
    if reader.manifest.has_vault_key and key.exists():
        raise BackupError(f"{key} exists already, and the backup has a key too. Move one of them away.")
    connection = await _connect(dsn)
    try:
        if await connection.fetchval(_OBJECTS):
            raise BackupError("The database is not empty.", hint="Name a new one with --database-url.")
    finally:
        await connection.close()
    await _restore(reader, dsn, programs, progress)
    if reader.manifest.has_vault_key:
        make_private_file(key, reader.text(VAULT_KEY))


async def check_backup(reader: ArchiveReader, *, programs: Path | None, progress: CopyProgress) -> None:
    """Read all of a backup, and let pg_restore read its dump, without a database. BackupError."""
    require_schema(reader.manifest)
    tools = find_tools(reader.manifest.postgres, programs, newer=True)
    command = [str(tools / "pg_restore"), f"--file={os.devnull}"]
    await write_to(command, {**os.environ, "LC_ALL": "C"}, _measured(reader, progress))
    if reader.manifest.has_vault_key:
        reader.text(VAULT_KEY)


def require_schema(manifest: BackupManifest) -> None:
    """Raise BackupError for a backup of a newer version than this one."""
    known = len(bundled_migrations())
    if manifest.schema_version > known:
        raise BackupError(
            f"The backup was made by Runwright {manifest.runwright} with the schema"
            f" {manifest.schema_version}; this version knows {known}. Install that version first."
        )


async def _restore(reader: ArchiveReader, dsn: str, programs: Path | None, progress: CopyProgress) -> None:
    connection = await _connect(dsn)
    try:
        major = connection.get_server_version().major
        if major < reader.manifest.postgres:
            raise BackupError(
                f"The backup is of PostgreSQL {reader.manifest.postgres}, and this one is {major}."
            )
        target = target_of(dsn)
        command = [
            str(find_tools(major, programs) / "pg_restore"),
            f"--dbname={target.dsn}",
            "--schema=public",  # neither the schema itself, which is there, nor extensions of the old server
            "--no-owner",
            "--no-privileges",
            "--no-password",
            "--single-transaction",
            "--exit-on-error",
        ]
        await write_to(command, target.environment, _measured(reader, progress))
        await _check_rows(connection, reader.manifest)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _check_rows(connection: Connection, manifest: BackupManifest) -> None:
    """Raise BackupError unless every table has the rows that the backup was made of."""
    for table, rows in manifest.rows.items():
        name = table.replace('"', '""')
        found = await connection.fetchval(f'SELECT count(*) FROM public."{name}"')  # noqa: S608  quoted
        if found != rows:
            raise BackupError(f"The table {table} has {found} rows after the restoration, and had {rows}.")


def _measured(reader: ArchiveReader, progress: CopyProgress) -> Iterator[bytes]:
    done, total = 0, reader.manifest.members[DUMP].bytes
    for chunk in reader.chunks(DUMP):
        yield chunk
        done += len(chunk)
        progress(done, total)


async def _connect(dsn: str) -> Connection:
    return await connect(dsn, application_name=_APPLICATION, within_seconds=_CONNECT_SECONDS)


@asynccontextmanager
async def staged(data_dir: Path) -> AsyncIterator[Path]:
    """Yield a folder in an empty data directory; it is removed at the end, with all that is left in it."""
    account = await asyncio.to_thread(postgres_account)
    existed = _make_empty(Layout(data_dir, account))
    stage = data_dir / _STAGE
    stage.mkdir(mode=0o711)  # PostgreSQL may run as a user of its own, whose folders in it are private
    try:
        yield stage
    finally:
        await asyncio.to_thread(_remove, stage, data_dir if not existed else None)


def _make_empty(layout: Layout) -> bool:
    """Make the data directory, or require that it is empty; return whether it was there."""
    existed = layout.data_dir.exists()
    if existed:
        _require_empty(layout.data_dir)
    layout.make()
    return existed


def _remove(stage: Path, made: Path | None) -> None:
    """Remove the stage, and the data directory that was made for it if nothing has been restored."""
    shutil.rmtree(stage)
    if made is not None:
        with suppress(OSError):  # it has what was restored
            made.rmdir()


def _require_empty(data_dir: Path) -> None:
    found = sorted(one.name for one in data_dir.iterdir() if one.name not in _NOT_OURS)
    if found == [_STAGE]:
        raise BackupError(
            f"{data_dir / _STAGE} belongs to another restoration: one that runs, or one that was killed.",
            hint="Delete it if none runs.",
        )
    if found:
        raise BackupError(
            f"{data_dir} is not empty: it has {', '.join(found[:5])}.", hint="Name a new one with --data-dir."
        )


def put_into_place(stage: Path, data_dir: Path) -> None:
    """Move the restored database to its place, which must still be free. BackupError."""
    try:
        (stage / _CLUSTER).rename(data_dir / _CLUSTER)
    except OSError as error:
        raise BackupError(f"{data_dir} was used meanwhile: {error.strerror}.") from None
    fd = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
