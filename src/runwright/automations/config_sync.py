"""Synchronize the definitions in the database with the configuration file.

One transaction inserts, changes and deletes definitions; those that callers created stay unchanged. Enabled
overrides are kept, also while the file does not have the definition.

Failure handling: if anything fails, nothing is changed. Processes that load the same file take turns; if
their files differ, the last one wins.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.definitions import AutomationDefinitions
from runwright.automations.errors import DefinitionError
from runwright.automations.model import Automation, TriggerDefinition
from runwright.automations.store.definitions import (
    fetch_enabled_overrides,
    list_configured_ids,
    lock_configured,
)
from runwright.db.pool import Database, PoolConnection
from runwright.schedules.model import Schedule
from runwright.schedules.store.automation_schedules import lock_automation_schedule

_SYNC_LOCK: Final = 6_730_112_954_118_003
"""The advisory lock of a synchronization."""

RevealSecret = Callable[[str, str], Awaitable[str | None]]
"""Returns a secret of a tenant's vault by its name; None if there is none."""


class ConfigSyncResult(msgspec.Struct, frozen=True):
    """How many definitions a synchronization has changed."""

    created: int
    changed: int
    removed: int


async def resolve_secrets(
    definitions: Sequence[Automation], reveal: RevealSecret, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the webhook secrets that definitions refer to, by trigger id.

    Raises DefinitionError if a reference has no secret.
    """
    secrets = {}
    for one in definitions:
        ref = one.definition.webhook_secret_ref if isinstance(one.definition, TriggerDefinition) else ""
        if ref:
            secret = await _resolve_secret(one.tenant_id, ref, reveal, environ)
            if not (secret or "").strip():
                raise DefinitionError(f"automation trigger {one.definition.name!r}: there is no secret {ref}")
            secrets[one.id] = secret or ""
    return secrets


async def _resolve_secret(
    tenant_id: str, ref: str, reveal: RevealSecret, environ: Mapping[str, str]
) -> str | None:
    kind, _, name = ref.partition(":")
    return environ.get(name) if kind == "env" else await reveal(tenant_id, vault_name(name))


def vault_name(path: str) -> str:
    """Return the name of a secret in the vault: AUTOMATION_DEPLOY_HOOK for `automation/deploy-hook`."""
    return re.sub(r"[^A-Z0-9]", "_", path.upper())


async def sync_definitions(
    db: Database,
    definitions: AutomationDefinitions,
    configured: Sequence[Automation],
    secrets: Mapping[str, str],
    now: datetime,
) -> ConfigSyncResult:
    """Make the configured definitions in the database equal to these."""
    created = changed = 0
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SYNC_LOCK)
        # Schedules are always locked before their automations.
        schedules = {
            id: await lock_automation_schedule(connection, id=id)
            for id in await list_configured_ids(connection)
        }
        stored = {one.id: one for one in await lock_configured(connection)}
        overrides = await fetch_enabled_overrides(connection)
        for configured_one in configured:
            one = _with_enabled(configured_one, overrides.get(configured_one.id))
            before = stored.pop(one.id, None)
            if before is None:
                await definitions.insert(connection, one, secrets.get(one.id), now)
                created += 1
            else:
                changed += await _update(
                    connection, definitions, before, one, schedules.get(one.id), secrets.get(one.id), now
                )
        for removed in stored.values():
            await definitions.remove(connection, removed)
    return ConfigSyncResult(created, changed, len(stored))


def _with_enabled(one: Automation, override: bool | None) -> Automation:  # noqa: FBT001  it is the subject
    if override is None:
        return one
    return msgspec.structs.replace(one, definition=msgspec.structs.replace(one.definition, enabled=override))


async def _update(
    db: PoolConnection,
    definitions: AutomationDefinitions,
    before: Automation,
    after: Automation,
    schedule: Schedule | None,
    secret: str | None,
    now: datetime,
) -> bool:
    """Update a definition and its secret; return whether anything differed."""
    merged = msgspec.structs.replace(
        after, created_by=before.created_by, created_at=before.created_at, updated_at=before.updated_at
    )
    differs = merged != before
    if differs:
        merged = msgspec.structs.replace(merged, updated_at=now)
        await definitions.update(db, before, merged, schedule, now)
    if secret is not None and secret not in await definitions.secrets(merged):
        await definitions.replace_secret(db, merged, secret)
        differs = True
    return differs
