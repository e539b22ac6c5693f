"""Keeping the definitions that come from a file as the file has them.

One transaction makes, changes and removes what differs; definitions that callers made are untouched.
What was wanted of a definition (switched on or off) stays, also while the file does not have it.

Failure handling: where anything is wrong, nothing is changed. Processes that read the same file take
turns; with different files the last one wins.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.definitions import Definitions
from runwright.automations.errors import DefinitionError
from runwright.automations.model import Automation, Kind
from runwright.automations.store.definitions import list_configured, list_configured_ids
from runwright.automations.store.enabled_overrides import fetch_overlays
from runwright.db.pool import Database, PoolConnection
from runwright.schedules.model import Schedule
from runwright.schedules.store.automation_schedules import lock_clock

_TURN: Final = 6_730_112_954_118_003
"""The advisory lock of whoever writes what a file says."""

Reveal = Callable[[str, str], Awaitable[str | None]]
"""Returns a secret of a tenant's vault by its name; None where there is none."""


class Synced(msgspec.Struct, frozen=True):
    """What a file has changed."""

    made: int
    changed: int
    removed: int


async def find_secrets(
    definitions: Sequence[Automation], reveal: Reveal, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the secrets that webhooks' references mean, by the trigger's id.

    DefinitionError where one means nothing.
    """
    secrets = {}
    for one in definitions:
        ref = one.details.secret_ref
        if ref:
            secret = await _find_secret(one.tenant_id, ref, reveal, environ)
            if not (secret or "").strip():
                raise DefinitionError(f"automation trigger {one.name!r}: there is no secret {ref}")
            secrets[one.id] = secret or ""
    return secrets


async def _find_secret(tenant_id: str, ref: str, reveal: Reveal, environ: Mapping[str, str]) -> str | None:
    kind, _, name = ref.partition(":")
    return environ.get(name) if kind == "env" else await reveal(tenant_id, vault_name(name))


def vault_name(path: str) -> str:
    """Return the name in a tenant's vault: `automation/deploy-hook` is AUTOMATION_DEPLOY_HOOK there."""
    return re.sub(r"[^A-Z0-9]", "_", path.upper())


async def sync_definitions(
    db: Database,
    definitions: Definitions,
    wanted: Sequence[Automation],
    secrets: Mapping[str, str],
    now: datetime,
) -> Synced:
    """Make, change and remove definitions, so that those from the file are these."""
    made = changed = 0
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _TURN)
        # The schedules first, as everybody does who locks both.
        clocks = {id: await lock_clock(connection, id=id) for id in await list_configured_ids(connection)}
        known = {one.id: one for one in await list_configured(connection)}
        overlays = await fetch_overlays(connection)
        for one in wanted:
            one = msgspec.structs.replace(one, enabled=overlays.get(one.id, one.enabled))  # noqa: PLW2901
            before = known.pop(one.id, None)
            if before is None:
                await definitions.write_new(connection, one, secrets.get(one.id), now)
                made += 1
            else:
                changed += await _change(
                    connection, definitions, before, one, clocks.get(one.id), secrets.get(one.id), now
                )
        for gone in known.values():
            await definitions.remove(connection, gone)
    return Synced(made, changed, len(known))


async def _change(
    db: PoolConnection,
    definitions: Definitions,
    before: Automation,
    after: Automation,
    clock: Schedule | None,
    secret: str | None,
    now: datetime,
) -> bool:
    """Write what differs; tells whether anything did."""
    kept = msgspec.structs.replace(
        after, created_by=before.created_by, created_at=before.created_at, updated_at=before.updated_at
    )
    differs = kept != before
    if differs:
        kept = msgspec.structs.replace(kept, updated_at=now)
        await definitions.write_changed(db, before, kept, clock, now)
    if secret is not None and kept.kind is Kind.TRIGGER and secret not in await definitions.secrets(kept):
        await definitions.put_secret(db, kept, secret)
        differs = True
    return differs
