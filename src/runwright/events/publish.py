"""Publishing events of tenants, agents and automations, as opposed to the server's own.

A published event has a payload (`data`) and an ancestry: the agents and automations that led to it. What
reacts to events with further events ignores one whose ancestry has `MAX_DEPTH` names, so that agents which
answer one another come to an end.

An idempotency key identifies its event for a day. Of two concurrent publishers with one key the second waits
for the first, and gets its event.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.errors import ConflictError
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row
from runwright.events.event_sql import append_sql
from runwright.events.model import Event

MAX_DEPTH: Final = 8
"""The greatest number of agents and automations in a chain."""

LONGEST_TYPE: Final = 100
LONGEST_KEY: Final = 255
PAYLOAD_LIMIT_BYTES: Final = 256 * 1024
KEY_TTL: Final = timedelta(hours=24)
OWN_FAMILIES: Final = frozenset(
    {
        *("agent", "attempt", "audit", "automation", "delivery", "endpoint", "event", "execution"),
        *("executor", "job", "key", "question", "run", "schedule", "secret", "tenant", "tick", "trigger"),
        *("version", "webhook", "worker"),
    }
)
"""Families of events that only the server appends."""

_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)+", re.ASCII)
TYPE_PATTERN: Final = f"^{_TYPE.pattern}$"


class EventScope(msgspec.Struct, frozen=True, kw_only=True):
    """What a published event is about."""

    subject_id: str = ""
    project: str | None = None
    task_type: str | None = None


class PublishedEvent(msgspec.Struct, frozen=True):
    """An event that was appended, or (`replayed`) had been appended by an earlier call with its key."""

    event: Event
    replayed: bool


def type_problem(type: str) -> str | None:
    """Return what is wrong with the type of an event to publish; None if nothing is."""
    if len(type) > LONGEST_TYPE or _TYPE.fullmatch(type) is None:
        return (
            f"Must be words of lower-case letters, digits, - and _ with dots between them, at least two"
            f" and at most {LONGEST_TYPE} characters."
        )
    family = type.partition(".")[0]
    return (
        f"Events of the family {family} can be published only by the server."
        if family in OWN_FAMILIES
        else None
    )


def too_deep(ancestry: Sequence[str]) -> bool:
    """Return whether an event with this ancestry must not lead to another one."""
    return len(ancestry) >= MAX_DEPTH


_NO_SCOPE: Final = EventScope()
_PUBLISH: Final = f"""
WITH {
    append_sql(
        "VALUES ($1::text, $2::text, $3::text, $4::timestamptz, $5::json, $6::text[], $7::text, $8::text)",
        more_columns=("ancestry", "project", "task_type"),
    )
}
SELECT position FROM event
"""


async def publish_event(
    db: PoolConnection,
    tenant_id: str,
    type: str,
    payload: Mapping[str, object] | msgspec.Raw,
    now: datetime,
    idempotency_key: str | None = None,
    ancestry: Sequence[str] = (),
    scope: EventScope = _NO_SCOPE,
) -> PublishedEvent:
    """Append an event to the tenant's log in the caller's transaction.

    ConflictError where the key belongs to another event. The caller checks the type (`type_problem`).
    """
    data = bytes(payload) if isinstance(payload, msgspec.Raw) else msgspec.json.encode(payload)
    if idempotency_key is not None:
        digest = hashlib.sha256(msgspec.json.encode((type, data, scope))).digest()
        prior = await _take_key(db, tenant_id, idempotency_key, digest, now)
        if prior is not None:
            return PublishedEvent(prior, replayed=True)
    position: int = await db.fetchval(
        _PUBLISH,
        *(tenant_id, type, scope.subject_id, now, data, list(ancestry) or None),
        *(scope.project, scope.task_type),
    )
    if idempotency_key is not None:
        await db.execute(
            "UPDATE event_keys SET position = $3 WHERE tenant_id = $1 AND key = $2",
            tenant_id,
            idempotency_key,
            position,
        )
    event = Event(
        position=position,
        tenant_id=tenant_id,
        type=type,
        subject_id=scope.subject_id,
        created_at=now,
        data=msgspec.Raw(data),
        ancestry=tuple(ancestry),
    )
    return PublishedEvent(event, replayed=False)


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event to publish together with others, without key and ancestry."""

    tenant_id: str
    type: str
    payload: msgspec.Raw
    at: datetime
    scope: EventScope


_PUBLISH_ALL: Final = f"""
WITH {
    append_sql(
        '''SELECT tenant_id, type, subject_id, created_at, data, project, task_type FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::json[], $6::text[], $7::text[]
    ) WITH ORDINALITY
    AS i (tenant_id, type, subject_id, created_at, data, project, task_type, n) ORDER BY n''',
        more_columns=("project", "task_type"),
    )
}
SELECT position FROM event ORDER BY position
"""


async def publish_events(db: Database | PoolConnection, items: Sequence[EventDraft]) -> list[Event]:
    """Append events to their tenants' logs in one statement, in the given order."""
    rows = await db.fetch(
        _PUBLISH_ALL,
        [one.tenant_id for one in items],
        [one.type for one in items],
        [one.scope.subject_id for one in items],
        [one.at for one in items],
        [one.payload for one in items],
        [one.scope.project for one in items],
        [one.scope.task_type for one in items],
    )
    return [
        Event(
            position=row["position"],
            tenant_id=one.tenant_id,
            type=one.type,
            subject_id=one.scope.subject_id,
            created_at=one.at,
            data=one.payload,
        )
        for one, row in zip(items, rows, strict=True)
    ]


async def _take_key(
    db: PoolConnection, tenant_id: str, key: str, digest: bytes, now: datetime
) -> Event | None:
    """Take the key, or return its event; waits for a concurrent transaction with the same key."""
    taken = await db.fetchval(
        """
        INSERT INTO event_keys AS k (tenant_id, key, digest, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id, key) DO UPDATE
            SET digest = excluded.digest, position = NULL, created_at = excluded.created_at
            WHERE k.created_at <= $5
        RETURNING true
        """,
        *(tenant_id, key, digest, now, now - KEY_TTL),
    )
    if taken:
        return None
    row = await db.fetchrow(
        """
        SELECT k.digest, e.position, e.tenant_id, e.type, e.subject_id, e.created_at, e.data, e.ancestry
        FROM event_keys k JOIN events e USING (position) WHERE k.tenant_id = $1 AND k.key = $2
        """,
        tenant_id,
        key,
    )
    if row is None or row["digest"] != digest:
        raise ConflictError("This idempotency key was used with another event.")
    return struct_from_row(Event, row)


async def prune_event_keys(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` expired idempotency keys; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM event_keys WHERE (tenant_id, key) IN (
            SELECT tenant_id, key FROM event_keys WHERE created_at <= $1
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now - KEY_TTL,
        limit,
    )
    return len(rows)
