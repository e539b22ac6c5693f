"""`runwright backup`: the whole installation in one file."""

import asyncio
import sys
import time
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
import typer

from runwright.backups.backup import make_backup, new_file
from runwright.backups.model import BackupManifest
from runwright.cli.database import database_address
from runwright.cli.exits import UsageError
from runwright.cli.options import VAULT_SETTINGS, takes_settings
from runwright.cli.output import Output
from runwright.cli.progress import byte_bar
from runwright.cli.remote import takes_output
from runwright.cli.terminal import note, painter
from runwright.cli.times import bytes_text
from runwright.config import Settings
from runwright.config.private_file import read_private_file
from runwright.core.clock import system_clock
from runwright.secrets.key_source import key_source
from runwright.wiring.resources import ENCRYPTED_COLUMNS

STDOUT: Final = "-"

Programs = Annotated[
    Path | None,
    typer.Option(
        "--pg-bin", metavar="DIR", help="Where pg_dump and pg_restore are, of the version of your PostgreSQL."
    ),
]


@takes_settings(VAULT_SETTINGS)
@takes_output
def backup(
    settings: Settings,
    *,
    output: Output,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file, or - for stdout.")],
    with_vault_key: Annotated[
        bool, typer.Option("--with-vault-key", help="Include the key that decrypts the secrets.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    pg_bin: Programs = None,
) -> None:
    """Write a backup of the whole installation to a file.

    The server may run: the backup is of one moment. It has all data, secrets only encrypted, and not the key
    that decrypts them: keep that apart, or include it and guard the file. Needs access to the data
    directory, or to the database.

    Examples:
    $ runwright backup monday.backup
    $ runwright backup - --with-vault-key | gzip > tuesday.backup.gz
    """
    key = _generated_key(settings) if with_vault_key else None
    began = time.monotonic()
    if file == STDOUT:
        if sys.stdout.isatty():
            raise UsageError("A backup is not for a terminal.", hint="runwright backup FILE")
        manifest = _write(settings, sys.stdout.buffer, key, pg_bin)
        sys.stdout.buffer.flush()
        note(f"✓ {summary_of(manifest)}", "green")
        return
    with new_file(Path(file), replace=force) as opened:
        manifest = _write(settings, opened, key, pg_bin)
    size, seconds = Path(file).stat().st_size, time.monotonic() - began
    shown = {"file": file, "bytes": size, **msgspec.to_builtins(manifest)}
    output.thing(shown, lambda: _done(file, size, seconds, manifest))
    if manifest.secrets and not manifest.has_vault_key:
        note(_apart(settings, manifest), "yellow")


def _write(settings: Settings, file: IO[bytes], key: str | None, programs: Path | None) -> BackupManifest:
    return asyncio.run(_make(settings, file, key, programs))


async def _make(
    settings: Settings, file: IO[bytes], key: str | None, programs: Path | None
) -> BackupManifest:
    async with database_address(settings) as dsn:
        with byte_bar("backing up") as draw:
            return await make_backup(
                dsn,
                file,
                columns=ENCRYPTED_COLUMNS,
                vault_key=key,
                clock=system_clock,
                programs=programs,
                progress=draw,
            )


def _generated_key(settings: Settings) -> str:
    """Return the text of the key that the server has made. UsageError where a setting names the key."""
    source = key_source(settings)
    if source.configured:
        raise UsageError(
            "The vault's key comes from a setting, and is kept where that points to.",
            hint="Leave --with-vault-key out, and back the key up there.",
        )
    if not source.generated_file.exists():
        raise UsageError(f"There is no vault key in {source.generated_file}.")
    return read_private_file(source.generated_file)


def summary_of(manifest: BackupManifest) -> str:
    """Return what a backup contains, in a line."""
    return (
        f"{manifest.total_rows:,} rows of {len(manifest.rows)} tables, schema {manifest.schema_version},"
        f" PostgreSQL {manifest.postgres}"
    )


def _done(file: str, size: int, seconds: float, manifest: BackupManifest) -> str:
    paint = painter(sys.stdout)
    return (
        f"{paint('green', '✓')} {paint('bold', file)}  {bytes_text(size)}   {seconds:.1f} s\n"
        f"  {summary_of(manifest)}"
    )


def _apart(settings: Settings, manifest: BackupManifest) -> str:
    source = key_source(settings)
    where = "the one that your settings name" if source.configured else str(source.generated_file)
    keys = ", ".join(manifest.vault_keys)
    return (
        f"! {secrets_text(manifest)} the vault key {keys},\n"
        f"  which is not in the file. Keep a copy of it elsewhere:\n  {where}"
    )


def secrets_text(manifest: BackupManifest) -> str:
    """Return the beginning of a sentence about what the secrets need."""
    return "1 secret needs" if manifest.secrets == 1 else f"{manifest.secrets:,} secrets need"
