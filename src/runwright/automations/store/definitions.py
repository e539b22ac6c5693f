"""The SQL of definitions."""

from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec
from asyncpg import Record

from runwright.automations.errors import name_taken, webhook_id_taken
from runwright.automations.model import (
    Automation,
    AutomationFilter,
    Details,
    FireLimit,
    Kind,
    Source,
)
from runwright.db.pool import Database, PoolConnection

COLUMNS: Final = """
    a.id, a.tenant_id, a.kind, a.scope, a.workspace_id, a.name, a.agent_name, a.prompt, a.enabled,
    a.limit_max, a.limit_window, a.source, a.configured_enabled, a.event, a.webhook_id, a.endpoint_slug,
    a.details, a.created_by, a.created_at, a.updated_at
"""
_WEBHOOK_INDEX: Final = "automations_by_webhook_id"


def automation_from_row(row: Record) -> Automation:
    """Build an automation from a row with `COLUMNS`; further columns are left out."""
    return Automation(
        id=row["id"],
        tenant_id=row["tenant_id"],
        kind=Kind(row["kind"]),
        scope=row["scope"],
        workspace_id=row["workspace_id"],
        name=row["name"],
        agent_name=row["agent_name"],
        prompt=row["prompt"],
        enabled=row["enabled"],
        fire_limit=FireLimit(max=row["limit_max"], window=row["limit_window"]),
        source=Source(row["source"]),
        configured_enabled=row["configured_enabled"],
        event=row["event"],
        webhook_id=row["webhook_id"],
        endpoint_slug=row["endpoint_slug"],
        details=msgspec.json.decode(row["details"], type=Details),
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def insert_automation(db: PoolConnection, one: Automation) -> None:
    """Insert a definition; ConflictError where its name or its webhook id is taken."""
    try:
        async with db.transaction():
            await db.execute(
                """
                INSERT INTO automations (id, tenant_id, kind, scope, workspace_id, name, agent_name, prompt,
                    enabled, limit_max, limit_window, limit_span, source, configured_enabled, event,
                    webhook_id, endpoint_slug, details, updated_at, created_by, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                        $20, $21)
                """,
                *(one.id, one.tenant_id, one.kind, one.scope),
                *_changing_values(one),
                *(one.created_by, one.created_at),
            )
    except asyncpg.UniqueViolationError as error:
        raise _taken(one, error) from None


async def update_automation(db: PoolConnection, one: Automation) -> None:
    """Write what may change of a definition that the same transaction has locked; errors as above."""
    try:
        async with db.transaction():
            await db.execute(
                """
                UPDATE automations SET workspace_id = $2, name = $3, agent_name = $4, prompt = $5,
                    enabled = $6, limit_max = $7, limit_window = $8, limit_span = $9, source = $10,
                    configured_enabled = $11, event = $12, webhook_id = $13, endpoint_slug = $14,
                    details = $15, updated_at = $16
                WHERE id = $1
                """,
                one.id,
                *_changing_values(one),
            )
    except asyncpg.UniqueViolationError as error:
        raise _taken(one, error) from None


def _changing_values(one: Automation) -> tuple[object, ...]:
    return (
        *(one.workspace_id, one.name, one.agent_name, one.prompt, one.enabled),
        *(one.fire_limit.max, one.fire_limit.window, one.fire_limit.span),
        *(one.source, one.configured_enabled, one.event, one.webhook_id, one.endpoint_slug),
        *(msgspec.json.encode(one.details), one.updated_at),
    )


def _taken(one: Automation, error: asyncpg.UniqueViolationError) -> Exception:
    return webhook_id_taken() if error.constraint_name == _WEBHOOK_INDEX else name_taken(one.kind)


async def delete_automation(db: PoolConnection, *, id: str) -> None:
    """Delete a definition; its runs stay."""
    await db.execute("DELETE FROM automations WHERE id = $1", id)


async def fetch_automation(
    db: Database | PoolConnection, *, tenant_id: str, kind: Kind, id: str, lock: bool = False
) -> Automation | None:
    """Return a definition of the tenant; `lock` holds its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM automations a WHERE a.tenant_id = $1 AND a.kind = $2 AND a.id = $3"
        + (" FOR UPDATE" if lock else ""),
        *(tenant_id, kind, id),
    )
    return None if row is None else automation_from_row(row)


async def fetch_triggers(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, Automation]:
    """Return these triggers by their ids; those that are gone or disabled are left out."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM automations a WHERE a.id = ANY ($1) AND a.enabled AND a.kind = 'trigger'", ids
    )
    return {row["id"]: automation_from_row(row) for row in rows}


async def list_automations(
    db: Database,
    *,
    tenant_id: str,
    kind: Kind,
    which: AutomationFilter,
    after: tuple[str, str] | None,
    limit: int,
) -> list[Automation]:
    """Return up to `limit` definitions by name and id, those after a (name, id)."""
    params: list[object] = [tenant_id, kind, limit]
    where = "a.tenant_id = $1 AND a.kind = $2"
    for column in ("scope", "workspace_id", "source", "event"):
        value = getattr(which, column)
        if value is not None:
            params.append(value)
            where += f" AND a.{column} = ${len(params)}"
    if after is not None:
        params += after
        where += f" AND (a.name, a.id) > (${len(params) - 1}, ${len(params)})"
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM automations a WHERE {where} ORDER BY a.name, a.id LIMIT $3", *params
    )
    return [automation_from_row(row) for row in rows]


async def list_configured_ids(db: PoolConnection) -> list[str]:
    """Return the ids of every definition that comes from a file, of all tenants, in order."""
    rows = await db.fetch("SELECT id FROM automations WHERE source = 'config' ORDER BY id")
    return [row[0] for row in rows]


async def list_configured(db: PoolConnection) -> list[Automation]:
    """Return and lock every definition that comes from a file, of all tenants."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM automations a WHERE a.source = 'config' ORDER BY a.id FOR UPDATE"
    )
    return [automation_from_row(row) for row in rows]
