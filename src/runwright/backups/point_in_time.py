"""Restores the embedded database from its archive, as it was at a time."""

import asyncio
import contextlib
import os
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from runwright.backups.model import BackupError
from runwright.backups.restore import put_into_place, staged
from runwright.db.embedded import EmbeddedError, EmbeddedPostgres
from runwright.db.embedded.account import Account, postgres_account
from runwright.db.embedded.wal_archive import BASE_FILE, BaseBackup, WalArchive
from runwright.db.pool import connect

_CLUSTER: Final = "pg"
_SEGMENTS: Final = "archived"
_SETTINGS: Final = "postgresql.auto.conf"
_SIGNAL: Final = "recovery.signal"
_LOOK_SECONDS: Final = 0.2
_NOT_REACHED: Final = "recovery ended before configured recovery target was reached"


class RestoredPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored."""

    base: datetime
    """When the copy was made that the log was replayed on."""
    segments: int
    last_commit: datetime | None
    """Of the restored database."""


async def restore_to_time(folder: Path, data_dir: Path, at: datetime) -> RestoredPoint:
    """Restore an archive as it was at a time into a data directory that is missing or empty. BackupError."""
    archive = WalArchive(folder)
    base = _choose(archive, at)
    account = await asyncio.to_thread(postgres_account)
    async with staged(data_dir) as stage:
        segments = await asyncio.to_thread(_lay_out, archive, base, stage / _CLUSTER, at, account)
        last_commit = await _recover(stage, at)
        put_into_place(stage, data_dir)
    return RestoredPoint(base=base.at, segments=segments, last_commit=last_commit)


def _choose(archive: WalArchive, at: datetime) -> BaseBackup:
    bases = archive.bases()
    if not bases:
        raise BackupError(f"{archive.folder} is no archive: it has no copy of a database.")
    usable = [base for base in bases if base.at <= at]
    if not usable:
        raise BackupError(f"The oldest copy in the archive is of {bases[0].at:%Y-%m-%d %H:%M:%S} UTC.")
    return usable[-1]


def _lay_out(archive: WalArchive, base: BaseBackup, cluster: Path, at: datetime, account: Account) -> int:
    """Unpack a copy, put the log beside it, and set up to where PostgreSQL replays it."""
    cluster.mkdir(mode=0o700)
    try:
        with tarfile.open(base.folder / BASE_FILE) as content:
            content.extractall(cluster, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BackupError(f"{base.folder / BASE_FILE} is damaged: {error}.") from None
    (cluster / _SEGMENTS).mkdir()
    segments = archive.segments(base.first_segment)
    for one in segments:
        shutil.copyfile(one, cluster / _SEGMENTS / one.name)
    with (cluster / _SETTINGS).open("a") as file:
        file.write(_recovery_settings(at))
    (cluster / _SIGNAL).touch()
    _own_all(cluster, account)
    return len(segments)


def _recovery_settings(at: datetime) -> str:
    stored = f"{_SEGMENTS}/%f.gz"
    return (
        f"restore_command = 'test -f {stored} && gzip -dc {stored} > %p'\n"
        f"recovery_target_time = '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'\n"
        "recovery_target_action = 'promote'\n"
    )


def _own_all(cluster: Path, account: Account) -> None:
    for folder, _, files in os.walk(cluster):
        Path(folder).chmod(0o700)
        account.own(Path(folder))
        for name in files:
            account.own(Path(folder, name))


async def _recover(stage: Path, at: datetime) -> datetime | None:
    server = EmbeddedPostgres(stage)
    try:
        dsn = await server.start()
        while (ended := await _ended(dsn)) is None:
            if _NOT_REACHED in _log(stage):
                raise BackupError(_too_late(at))
            await asyncio.sleep(_LOOK_SECONDS)
    except EmbeddedError as error:
        raise BackupError(_too_late(at) if _NOT_REACHED in _log(stage) else str(error)) from None
    finally:
        await server.stop()
    _forget_recovery(stage / _CLUSTER)
    return ended.last_commit


class _Ended(msgspec.Struct, frozen=True):
    """The replay is over."""

    last_commit: datetime | None


async def _ended(dsn: str) -> _Ended | None:
    """Return how the replay ended; None while it runs."""
    try:
        connection = await connect(dsn, application_name="runwright restore", within_seconds=1)
    except Exception:  # noqa: BLE001  it may just be ending, which the log shows
        return None
    try:
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            return None
        return _Ended(await connection.fetchval("SELECT pg_last_xact_replay_timestamp()"))
    finally:
        await connection.close()


def _log(stage: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (stage / "pg.log").read_text(errors="replace")
    return ""


def _too_late(at: datetime) -> str:
    return (
        f"The archive ends before {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: the last minute of a database"
        " that runs is not in it yet."
    )


def _forget_recovery(cluster: Path) -> None:
    """Remove what was there for the recovery only."""
    shutil.rmtree(cluster / _SEGMENTS)
    settings = cluster / _SETTINGS
    lines = settings.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("restore_command", "recovery_target"))]
    settings.write_text("".join(kept))
