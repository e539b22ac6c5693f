"""`runwright restore`: an installation from a backup, or a check of the backup."""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from runwright.backups.archive import ArchiveReader
from runwright.backups.model import BackupManifest, CopyProgress
from runwright.backups.point_in_time import restore_to_time
from runwright.backups.restore import check_backup, restore_database, restore_embedded
from runwright.cli.backup import Programs, secrets_text, summary_of
from runwright.cli.exits import CommandError, ExitCode, UsageError
from runwright.cli.options import VAULT_SETTINGS, takes_settings
from runwright.cli.output import Output, section
from runwright.cli.progress import byte_bar
from runwright.cli.remote import takes_output
from runwright.cli.terminal import note
from runwright.cli.times import bytes_text, clock
from runwright.cli.trial_restore import TrialResult, try_restore
from runwright.config import Settings
from runwright.config.private_file import PrivateFileError
from runwright.db.migrator import bundled_migrations
from runwright.secrets.key_source import key_source, read_keyring
from runwright.secrets.model import VaultKeyError


@takes_settings(VAULT_SETTINGS)
@takes_output
def restore(
    settings: Settings,
    *,
    output: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, or the folder of wal_archive.")],
    to_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="From an archive: restore the moment, such as 2026-07-01T12:00:00Z."
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Restore it into a temporary place only, and run a job there, to see that it can be.",
        ),
    ] = False,
    pg_bin: Programs = None,
) -> None:
    """Restore a backup into an empty place, or check it.

    The place is --data-dir, which must be missing or empty, or --database-url, a database without tables. It
    is restored as a whole or not at all, and the rows of every table are counted. Then start the server.

    --verify restores into a temporary folder (TMPDIR), migrates it, decrypts all secrets if their key is in
    the file or here, runs a job there, and deletes it. Nothing that was queued or due is run or sent.

    --to-time restores the embedded database from the folder of wal_archive as it was at that time.

    Examples:
    $ runwright restore monday.backup --verify
    $ runwright restore monday.backup --data-dir restored
    """
    if not file.exists():
        raise CommandError(f"There is no file {file}.", ExitCode.NOT_FOUND)
    if file.is_dir() or to_time is not None:
        _restore_point(settings, file, to_time, output)
        return
    with ArchiveReader(file) as reader:
        began = time.monotonic()
        trial = None
        with byte_bar("checking" if verify else "restoring") as draw:
            if verify:
                asyncio.run(check_backup(reader, programs=pg_bin, progress=draw))
                trial = try_restore(settings, reader, progress=draw)
            else:
                asyncio.run(_restore(settings, reader, pg_bin, draw))
        seconds = time.monotonic() - began
        manifest = reader.manifest
    shown = {"file": str(file), "verified": True, "restored": not verify, **msgspec.to_builtins(manifest)}
    shown |= {} if trial is None else {"trial": msgspec.to_builtins(trial)}
    output.thing(shown, lambda: _done(settings, file, manifest, seconds, trial))
    _warn_of_key(settings, manifest)


def _restore_point(settings: Settings, folder: Path, to_time: str | None, output: Output) -> None:
    if to_time is None or not folder.is_dir():
        raise UsageError("An archive is a folder, and is restored with --to-time TIME.")
    if settings.database_url is not None:
        raise UsageError("Only the embedded database has an archive.", hint="Leave --database-url out.")
    at = _parse_time(to_time)
    began = time.monotonic()
    point = asyncio.run(restore_to_time(folder, settings.data_dir, at))
    about = {
        "at": clock(at),
        "copy of": clock(point.base),
        "log": f"{point.segments:,} files",
        "last write": clock(point.last_commit) if point.last_commit else "",
        "next": f"put vault-key beside it, then: runwright serve --data-dir {settings.data_dir}",
    }
    title = f"✓ restored into {settings.data_dir}   {time.monotonic() - began:.1f} s"
    output.thing(msgspec.to_builtins(point), lambda: section(title, about))


def _parse_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("--to-time is a time such as 2026-07-01T12:00:00Z.") from None
    if at.tzinfo is None:
        raise UsageError("--to-time needs a zone: Z, or an offset such as +02:00.")
    return at


async def _restore(
    settings: Settings, reader: ArchiveReader, programs: Path | None, draw: CopyProgress
) -> None:
    if settings.database_url is None:
        await restore_embedded(reader, settings.data_dir, programs=programs, progress=draw)
    else:
        await restore_database(
            reader, settings.database_url, settings.data_dir, programs=programs, progress=draw
        )


def _done(
    settings: Settings, file: Path, manifest: BackupManifest, seconds: float, trial: TrialResult | None
) -> str:
    about = {
        "made": f"{clock(manifest.created_at)} by Runwright {manifest.runwright}",
        "has": summary_of(manifest),
        "secrets": f"{manifest.secrets:,}" if manifest.secrets else "",
        "vault key": "in the file" if manifest.has_vault_key else "",
    }
    if trial is not None:
        title = f"✓ {file} is complete and can be restored   {seconds:.1f} s"
        about["size"] = bytes_text(sum(one.bytes for one in manifest.members.values()))
        about["secrets"] = _decrypted(trial)
        about["trial job"] = trial.job
    else:
        place = "the database" if settings.database_url else str(settings.data_dir)
        title = f"✓ restored into {place}   {seconds:.1f} s"
        about["next"] = _next_step(settings, manifest)
    return section(title, about)


def _decrypted(trial: TrialResult) -> str:
    if trial.secrets is None:
        return "not decrypted: their key is not here"
    return f"all {trial.secrets:,} decrypted" if trial.secrets else ""


def _next_step(settings: Settings, manifest: BackupManifest) -> str:
    older = manifest.schema_version < len(bundled_migrations())
    if settings.database_url is not None:
        return "runwright db migrate, then start the servers" if older else "start the servers"
    return f"runwright serve --data-dir {settings.data_dir}"


def _warn_of_key(settings: Settings, manifest: BackupManifest) -> None:
    """Report which key the secrets need, where neither the file nor this machine has it."""
    if not manifest.secrets or manifest.has_vault_key:
        return
    missing = sorted(manifest.vault_keys.keys() - _keys_here(settings))
    if missing:
        note(
            f"! {secrets_text(manifest)} the vault key {', '.join(missing)},\n"
            "  which is not here. Before the server starts, configure it, or put it into\n"
            f"  {key_source(settings).generated_file}   (mode 0600)",
            "yellow",
        )


def _keys_here(settings: Settings) -> set[str]:
    try:
        return set(read_keyring(key_source(settings)).ids)
    except (VaultKeyError, PrivateFileError):
        return set()
