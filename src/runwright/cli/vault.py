"""`runwright vault`: the keys that seal secrets; never the secrets."""

import asyncio
import contextlib
from typing import Annotated

import typer

from runwright.cli.database import open_database
from runwright.cli.options import VAULT_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.core.errors import ConflictError, NotFoundError, RunwrightError
from runwright.db.pool import Database
from runwright.jobs.store.rescue import live_executors
from runwright.secrets import rotation
from runwright.secrets.key_source import KeySource, key_source, read_keyring
from runwright.secrets.keyring import Keyring, new_key_text
from runwright.secrets.model import SecretName, VaultKeyError
from runwright.secrets.rotation import Rotated
from runwright.wiring.encrypted_columns import HOLDERS

app = typer.Typer(no_args_is_help=True, help="The keys that seal secrets.")


@app.command("new-key")
def new_key() -> None:
    """Print a fresh key, alone, on stdout; it is kept nowhere."""
    typer.echo(new_key_text())


@app.command()
@takes_settings(VAULT_SETTINGS)
def status(settings: Settings) -> None:
    """Say which keys there are and how many secrets each has sealed; exits with 1 where one is missing."""
    typer.echo(asyncio.run(_status(settings)))


@app.command()
@takes_settings(VAULT_SETTINGS)
def rotate(settings: Settings) -> None:
    """Seal every secret with the first key; beside running servers, as often as you like."""
    done = asyncio.run(_rotate(settings))
    typer.echo(f"sealed anew: {done.resealed}")
    for whose in done.broken:
        typer.echo(f"altered, set it again: {whose.name} of {whose.tenant_id}", err=True)
    for key_id in done.foreign:
        typer.echo(f"left as it is, for its key is not here: all that is sealed with {key_id}", err=True)
    if done.broken or done.foreign:
        raise typer.Exit(1)


@app.command()
@takes_settings(VAULT_SETTINGS)
def discard(
    settings: Settings, *, key_id: Annotated[str, typer.Argument(help="The id of a key that is lost.")]
) -> None:
    """Delete, for good, every secret that a lost key has sealed, and name them."""
    for whose in asyncio.run(_discard(settings, key_id)):
        typer.echo(f"deleted {whose.name} of {whose.tenant_id}")


async def describe_vault(db: Database, source: KeySource) -> str:
    """Return which keys are held and used. VaultKeyError where one that is needed is missing."""
    used = await rotation.count_by_key(db, HOLDERS)
    if not used and not source.configured and not source.made_file.exists():
        return f"no key yet; the next start makes one in {source.made_file}"
    ring = await asyncio.to_thread(read_keyring, source, used)
    if missing := sorted(used.keys() - set(ring.ids)):
        raise VaultKeyError(
            f"{sum(used[one] for one in missing)} secrets are sealed with the key {', '.join(missing)}, which"
            f" is not here; there are {', '.join(ring.ids)}. Add it after the first one, or give its secrets"
            f" up with: runwright vault discard {missing[0]}"
        )
    keys = (f"{key_id} ({used.get(key_id, 0)} secrets)" for key_id in ring.ids)
    return f"key {', then '.join(keys)}"


async def _status(settings: Settings) -> str:
    async with open_database(settings) as db:
        return await describe_vault(db, key_source(settings))


async def _rotate(settings: Settings) -> Rotated:
    async with open_database(settings) as db:
        ring = await asyncio.to_thread(
            read_keyring, key_source(settings), await rotation.count_by_key(db, HOLDERS)
        )
        await _require_held(db, ring)
        return await rotation.rotate(db, ring, HOLDERS)


async def _require_held(db: Database, ring: Keyring) -> None:
    """Refuse to seal with a key that an executor lacks: its jobs would fail."""
    without = [
        f"{one.host} (pid {one.pid})"
        for one in await live_executors(db)
        if one.vault_keys is not None and ring.primary not in one.vault_keys
    ]
    if without:
        raise ConflictError(
            f"These executors do not hold the key {ring.primary} yet: {', '.join(without)}."
            " Give it to them and start them again first."
        )


async def _discard(settings: Settings, key_id: str) -> list[SecretName]:
    async with open_database(settings) as db:
        held: tuple[str, ...] = ()
        with contextlib.suppress(RunwrightError):  # nothing can be read, so nothing is held
            held = (await asyncio.to_thread(read_keyring, key_source(settings))).ids
        if key_id in held:
            raise ConflictError(f"The key {key_id} is not lost: it is in the ring that is configured.")
        gone = await rotation.discard(db, key_id, HOLDERS)
        if not gone:
            raise NotFoundError(f"Nothing is sealed with the key {key_id}.")
        return gone
