"""`runwright vault`: manages the keys that encrypt secrets; it never shows a secret."""

import asyncio
import contextlib
from typing import Annotated

import typer

from runwright.cli.apps import Commands
from runwright.cli.database import open_database
from runwright.cli.index import COMMANDS
from runwright.cli.options import VAULT_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.core.errors import ConflictError, NotFoundError, RunwrightError
from runwright.db.pool import Database
from runwright.leases.store import live_executors
from runwright.secrets import rotation
from runwright.secrets.key_source import KeySource, key_source, read_keyring
from runwright.secrets.keyring import Keyring, new_key_text
from runwright.secrets.model import SecretName, VaultKeyError
from runwright.secrets.rotation import RotationResult
from runwright.wiring.resources import ENCRYPTED_COLUMNS

app = Commands(COMMANDS["vault"])


@app.command("new-key")
def new_key() -> None:
    """Print a new key on stdout; it is not stored.

    Examples:
    $ runwright vault new-key
    """
    typer.echo(new_key_text())


@app.command()
@takes_settings(VAULT_SETTINGS)
def status(settings: Settings) -> None:
    """List the keys and how many secrets each encrypts; exits with 1 if a key is missing.

    Examples:
    $ runwright vault status
    """
    typer.echo(asyncio.run(_status(settings)))


@app.command()
@takes_settings(VAULT_SETTINGS)
def rotate(settings: Settings) -> None:
    """Re-encrypt every secret with the first key. Servers may run meanwhile; it can be repeated.

    Examples:
    $ runwright vault rotate
    """
    done = asyncio.run(_rotate(settings))
    typer.echo(f"re-encrypted: {done.reencrypted}")
    for name in done.altered:
        typer.echo(f"altered, set it again: {name.name} of {name.tenant_id}", err=True)
    for key_id in done.unknown_keys:
        typer.echo(f"unchanged, because its key is missing: all that is encrypted with {key_id}", err=True)
    if done.altered or done.unknown_keys:
        raise typer.Exit(1)


@app.command()
@takes_settings(VAULT_SETTINGS)
def discard(
    settings: Settings, *, key_id: Annotated[str, typer.Argument(help="The id of the lost key.")]
) -> None:
    """Delete every secret that is encrypted with a lost key, permanently, and list them.

    Examples:
    $ runwright vault discard v1-5f2c9a1e
    """
    for name in asyncio.run(_discard(settings, key_id)):
        typer.echo(f"deleted {name.name} of {name.tenant_id}")


async def describe_vault(db: Database, source: KeySource) -> str:
    """Return which keys are available and used. VaultKeyError if a key that is needed is missing."""
    used = await rotation.count_by_key(db, ENCRYPTED_COLUMNS)
    if not used and not source.configured and not source.generated_file.exists():
        return f"no key yet; the next start generates one in {source.generated_file}"
    ring = await asyncio.to_thread(read_keyring, source, used)
    if missing := sorted(used.keys() - set(ring.ids)):
        raise VaultKeyError(
            f"{sum(used[one] for one in missing)} secrets are encrypted with the key {', '.join(missing)},"
            f" which is missing; the keys here are {', '.join(ring.ids)}. Add it after the first one, or"
            f" delete its secrets with: runwright vault discard {missing[0]}"
        )
    keys = (f"{key_id} ({used.get(key_id, 0)} secrets)" for key_id in ring.ids)
    return f"key {', then '.join(keys)}"


async def _status(settings: Settings) -> str:
    async with open_database(settings) as db:
        return await describe_vault(db, key_source(settings))


async def _rotate(settings: Settings) -> RotationResult:
    async with open_database(settings) as db:
        ring = await asyncio.to_thread(
            read_keyring, key_source(settings), await rotation.count_by_key(db, ENCRYPTED_COLUMNS)
        )
        await _require_held(db, ring)
        return await rotation.rotate(db, ring, ENCRYPTED_COLUMNS)


async def _require_held(db: Database, ring: Keyring) -> None:
    """Refuse to encrypt with a key that an executor lacks: its jobs would fail."""
    without = [
        f"{one.host} (pid {one.pid})"
        for one in await live_executors(db)
        if one.vault_keys is not None and ring.primary not in one.vault_keys
    ]
    if without:
        raise ConflictError(
            f"These executors do not have the key {ring.primary} yet: {', '.join(without)}."
            " Configure it there and restart them first."
        )


async def _discard(settings: Settings, key_id: str) -> list[SecretName]:
    async with open_database(settings) as db:
        available: tuple[str, ...] = ()
        with contextlib.suppress(RunwrightError):  # the keys cannot be read, so none is available
            available = (await asyncio.to_thread(read_keyring, key_source(settings))).ids
        if key_id in available:
            raise ConflictError(f"The key {key_id} is not lost: it is configured.")
        deleted = await rotation.discard(db, key_id, ENCRYPTED_COLUMNS)
        if not deleted:
            raise NotFoundError(f"No secret is encrypted with the key {key_id}.")
        return deleted
