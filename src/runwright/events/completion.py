"""Completion callbacks: what acts on the end of a job or an execution, exactly once.

States of a row of completion_callbacks: waiting for the end of its target → due → deleted, in the
transaction in which its handler acts on the end; or due later, where the handler failed.

Invariant: a row is inserted in the transaction that creates its target, and deleted in the one that acts
on its end. So each end is handled exactly once, whichever process dies. The loop is
loops/completion_dispatcher.py.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Generic, TypeVar

import msgspec

from runwright.db.errors import transient
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import columns_of

End = TypeVar("End")


class CompletionTarget(StrEnum):
    """What ends."""

    JOB = "job"
    EXECUTION = "execution"


class CompletionCallback(msgspec.Struct, frozen=True):
    """A request that `handler` acts on the end of `target_id`, on behalf of `subject_id`."""

    target_id: str
    handler: str
    subject_id: str


class DueCallback(msgspec.Struct, Generic[End], frozen=True):
    """A callback whose target has ended, and how."""

    callback: CompletionCallback
    end: End


class CompletionSource(msgspec.Struct, Generic[End], frozen=True, kw_only=True):
    """How the ends of one kind of target are found."""

    target: CompletionTarget
    ended: str
    """SQL: the condition that the target `c.target_id` has ended."""
    fetch: Callable[[PoolConnection, Sequence[str], datetime], Awaitable[Mapping[str, End]]]
    """Return the ends of targets, the earliest first."""


class EndsNotReadError(Exception):
    """The ends of the targets of these callbacks cannot be read."""

    def __init__(self, callbacks: Sequence[CompletionCallback]) -> None:
        super().__init__(f"the ends of {len(callbacks)} targets cannot be read")
        self.callbacks = callbacks


async def add_callbacks(
    db: PoolConnection, target: CompletionTarget, callbacks: Sequence[CompletionCallback]
) -> None:
    """Add callbacks, in the transaction that creates their targets; existing ones are left unchanged."""
    await db.execute(
        """
        INSERT INTO completion_callbacks (target, target_id, handler, subject_id)
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING
        """,
        target,
        *columns_of(callbacks, len(CompletionCallback.__struct_fields__)),
    )


async def any_callbacks(db: Database) -> bool:
    """Return whether there is any callback, due or not."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM completion_callbacks)"))


@cache
def _take_sql(ended: str) -> str:
    return f"""
WITH due AS (
    SELECT c.target_id, c.handler, c.subject_id FROM completion_callbacks c
    WHERE c.target = $1 AND c.handler = ANY ($2) AND c.due_at <= $4 AND {ended}
    LIMIT $3 FOR UPDATE OF c SKIP LOCKED
)
DELETE FROM completion_callbacks c USING due d
WHERE c.target_id = d.target_id AND c.handler = d.handler AND c.subject_id = d.subject_id
RETURNING c.target_id, c.handler, c.subject_id
"""


async def take_due_callbacks(
    db: PoolConnection, source: CompletionSource[End], *, handlers: Sequence[str], limit: int, now: datetime
) -> Sequence[DueCallback[End]]:
    """Delete up to `limit` callbacks whose target has ended, and return them in the order of the ends.

    The caller acts on them in the same transaction. Rows that another process holds are skipped.
    Raises EndsNotReadError from the error where the ends cannot be read.
    """
    rows = await db.fetch(_take_sql(source.ended), source.target, list(handlers), limit, now)
    callbacks: dict[str, list[CompletionCallback]] = {}
    for row in rows:
        callbacks.setdefault(row["target_id"], []).append(CompletionCallback(*row))
    try:
        ends = await source.fetch(db, list(callbacks), now) if callbacks else {}
    except Exception as error:
        if transient(error):
            raise
        raise EndsNotReadError([one for group in callbacks.values() for one in group]) from error
    return [
        DueCallback(callback, end) for target_id, end in ends.items() for callback in callbacks[target_id]
    ]


async def postpone_callback(db: Database, callback: CompletionCallback, *, until: datetime) -> None:
    """Leave a callback untouched until a time."""
    await db.execute(
        "UPDATE completion_callbacks SET due_at = $4"
        " WHERE target_id = $1 AND handler = $2 AND subject_id = $3",
        *(callback.target_id, callback.handler, callback.subject_id, until),
    )
