"""SQL of definitions. The columns follow from the structs in automations/model.py.

An enabled override is a value of `enabled` set by a caller that differs from the configuration file.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import asyncpg
import msgspec
from asyncpg import Record

from runwright.automations.errors import name_taken, webhook_id_taken
from runwright.automations.filters import AutomationFilter
from runwright.automations.model import (
    DEFINITIONS,
    AnyDefinition,
    Automation,
    AutomationKind,
    DefinitionSource,
    FieldMark,
    RunOverlap,
    TriggerDefinition,
    marked,
)
from runwright.db.pool import Database, PoolConnection

_RECORD: Final = tuple(name for name in Automation.__struct_fields__ if name != "definition")
_COLUMNS: Final = tuple(marked(TriggerDefinition, FieldMark.COLUMN))
"""A trigger has all the columns that a job has, and more."""
_ELSEWHERE: Final = frozenset({*_COLUMNS, "fire_limit"})
_DETAIL_NAMES: Final = {"webhook_signature": "signature", "webhook_secret_ref": "secret_ref"}
"""Names of fields in `details` that differ from the struct's."""
_FIXED: Final = frozenset({"id", "tenant_id", "kind", "scope", "created_by", "created_at"})
_WEBHOOK_INDEX: Final = "automations_by_webhook_id"

COLUMNS: Final = ", ".join(
    f"a.{name}" for name in (*_RECORD, "kind", *_COLUMNS, "limit_max", "limit_window", "details")
)


def automation_from_row(row: Record) -> Automation:
    """Return the automation of a row with `COLUMNS`; further columns are ignored."""
    kind = DEFINITIONS[AutomationKind(row["kind"])]
    details = msgspec.json.decode(row["details"], type=dict[str, Any])
    values: dict[str, Any] = {
        name: details[stored] for name, stored in _details_of(kind).items() if stored in details
    }
    values |= {name: row[name] for name in _COLUMNS}
    values["fire_limit"] = {"max": row["limit_max"], "window": row["limit_window"]}
    record = {name: row[name] for name in _RECORD}
    record["source"] = DefinitionSource(row["source"])
    return Automation(**record, definition=msgspec.convert(values, kind))


@cache
def _details_of(kind: type[AnyDefinition]) -> Mapping[str, str]:
    """Return the names in `details` of the fields that have no column."""
    return {name: _DETAIL_NAMES.get(name, name) for name in kind.__struct_fields__ if name not in _ELSEWHERE}


def _row(one: Automation) -> dict[str, object]:
    """Return the columns of an automation with their values."""
    definition = one.definition
    details = {stored: getattr(definition, name) for name, stored in _details_of(type(definition)).items()}
    return {
        **{name: getattr(one, name) for name in _RECORD},
        "kind": one.kind,
        **{name: getattr(definition, name, "") for name in _COLUMNS},
        "limit_max": one.fire_limit.max,
        "limit_window": one.fire_limit.window,
        "limit_span": one.fire_limit.span,
        "details": msgspec.json.encode(details),
    }


async def insert_automation(db: PoolConnection, one: Automation) -> None:
    """Insert a definition. Raises ConflictError if its name or its webhook id is taken."""
    row = _row(one)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await _write(db, one, f"INSERT INTO automations ({', '.join(row)}) VALUES ({places})", *row.values())


async def update_automation(db: PoolConnection, one: Automation) -> None:
    """Update a definition that the transaction has locked. Raises ConflictError as `insert_automation`."""
    row = {name: value for name, value in _row(one).items() if name not in _FIXED}
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(row, 2))
    await _write(db, one, f"UPDATE automations SET {sets} WHERE id = $1", one.id, *row.values())


async def _write(db: PoolConnection, one: Automation, statement: str, *values: object) -> None:
    try:
        async with db.transaction():
            await db.execute(statement, *values)
    except asyncpg.UniqueViolationError as error:
        taken = webhook_id_taken() if error.constraint_name == _WEBHOOK_INDEX else name_taken(one.kind)
        raise taken from None


async def delete_automation(db: PoolConnection, *, id: str) -> None:
    """Delete a definition; its runs stay."""
    await db.execute("DELETE FROM automations WHERE id = $1", id)


async def fetch_automation(
    db: Database | PoolConnection, *, tenant_id: str, kind: AutomationKind, id: str, lock: bool = False
) -> Automation | None:
    """Return a definition of the tenant; `lock` locks its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM automations a WHERE a.tenant_id = $1 AND a.kind = $2 AND a.id = $3"
        + (" FOR UPDATE" if lock else ""),
        *(tenant_id, kind, id),
    )
    return None if row is None else automation_from_row(row)


async def fetch_triggers(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, Automation]:
    """Return those of these triggers that exist and are enabled, by id."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM automations a WHERE a.id = ANY ($1) AND a.enabled AND a.kind = 'trigger'", ids
    )
    return {row["id"]: automation_from_row(row) for row in rows}


async def fetch_overlaps(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, RunOverlap]:
    """Return what these jobs do with a tick while an earlier run is live, by id."""
    rows = await db.fetch("SELECT id, details->>'overlap' FROM automations WHERE id = ANY ($1)", ids)
    return {row[0]: RunOverlap(row[1] or RunOverlap.QUEUE) for row in rows}


async def list_automations(
    db: Database,
    *,
    tenant_id: str,
    kind: AutomationKind,
    which: AutomationFilter,
    after: tuple[str, str] | None,
    limit: int,
) -> list[Automation]:
    """Return up to `limit` definitions by name and id, those after a (name, id)."""
    params: list[object] = [tenant_id, kind, limit]
    where = "a.tenant_id = $1 AND a.kind = $2"
    for column in AutomationFilter.__struct_fields__:
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
    """Return the ids of all definitions from a configuration file, of every tenant, in order."""
    rows = await db.fetch("SELECT id FROM automations WHERE source = 'config' ORDER BY id")
    return [row[0] for row in rows]


async def lock_configured(db: PoolConnection) -> list[Automation]:
    """Lock and return all definitions from a configuration file, of every tenant."""
    rows = await db.fetch(
        f"SELECT {COLUMNS} FROM automations a WHERE a.source = 'config' ORDER BY a.id FOR UPDATE"
    )
    return [automation_from_row(row) for row in rows]


async def set_enabled_override(
    db: PoolConnection, *, automation_id: str, enabled: bool, now: datetime
) -> None:
    """Store an override. It survives the removal of the definition from the file."""
    await db.execute(
        """
        INSERT INTO automation_enabled_overrides (automation_id, enabled, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (automation_id) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at
        """,
        *(automation_id, enabled, now),
    )


async def clear_enabled_override(db: PoolConnection, *, automation_id: str) -> None:
    """Delete an override, so that the value in the file applies."""
    await db.execute("DELETE FROM automation_enabled_overrides WHERE automation_id = $1", automation_id)


async def fetch_enabled_overrides(db: PoolConnection) -> dict[str, bool]:
    """Return all overrides by the definition's id."""
    rows = await db.fetch("SELECT automation_id, enabled FROM automation_enabled_overrides")
    return {row["automation_id"]: row["enabled"] for row in rows}
