"""The SQL of runs under way: claimed, started, begun again, ended.

States of a row of run_queue: due (not before `due_at`) → running (its agent has it) → gone, or due again
for another attempt. Every statement runs in a transaction that holds the row; one run has one row, so a
run ends once. Its status in automation_runs changes in the same transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.automations.model import Plan, Run
from runwright.automations.store.runs import RUN_COLUMNS, run_from_row
from runwright.core.job_state import Trigger
from runwright.db.pool import Database, PoolConnection

_TURN: Final = 5_820_193_377_116_004
"""The advisory lock of whoever hands out due runs: any number that nobody else on the database uses."""


class LiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has not ended, with all that is needed to go on with it."""

    run: Run
    plan: Plan
    cause: Trigger
    activation: msgspec.Raw | None
    ancestry: tuple[str, ...]
    cancelled: bool
    """Its end was asked for."""

    @property
    def path(self) -> tuple[str, ...]:
        """The ancestry of what this run causes."""
        return (*self.ancestry, self.run.automation_id)


_LIVE: Final = f"{RUN_COLUMNS}, r.plan, r.cause, r.activation, r.ancestry, r.cancel_requested_at"


def _live(row: Record) -> LiveRun:
    return LiveRun(
        run=run_from_row(row),
        plan=msgspec.json.decode(row["plan"], type=Plan),
        cause=Trigger(row["cause"]),
        activation=row["activation"],
        ancestry=tuple(row["ancestry"] or ()),
        cancelled=row["cancel_requested_at"] is not None,
    )


_CLAIM: Final = f"""
WITH RECURSIVE tenant AS (
    (SELECT tenant_id FROM run_queue WHERE state = 'due' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT following.tenant_id FROM tenant CROSS JOIN LATERAL (
        SELECT q.tenant_id FROM run_queue q WHERE q.state = 'due' AND q.tenant_id > tenant.tenant_id
        ORDER BY q.tenant_id LIMIT 1
    ) following
), chosen AS (
    SELECT c.run_id, c.due_at,
           row_number() OVER (PARTITION BY t.tenant_id ORDER BY c.due_at, c.run_id) AS turn
    FROM tenant t
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs FROM run_queue b WHERE b.tenant_id = t.tenant_id AND b.state = 'running'
    ) busy
    CROSS JOIN LATERAL (
        SELECT q.run_id, q.due_at FROM run_queue q
        WHERE q.tenant_id = t.tenant_id AND q.state = 'due' AND q.due_at <= $1
        ORDER BY q.due_at, q.run_id LIMIT greatest($2 - busy.runs, 0)
    ) c
    WHERE NOT EXISTS (SELECT FROM tenants s WHERE s.id = t.tenant_id AND s.status = 'suspended')
    ORDER BY turn, c.due_at LIMIT $3
)
SELECT {_LIVE} FROM chosen c JOIN run_queue q ON q.run_id = c.run_id AND q.state = 'due'
JOIN automation_runs r ON r.id = q.run_id
ORDER BY c.turn, c.due_at FOR UPDATE OF q SKIP LOCKED
"""


async def claim_due_runs(
    db: PoolConnection, *, now: datetime, at_once: int, limit: int
) -> Sequence[LiveRun] | None:
    """Return up to `limit` runs that are due, tenants in turns; None where somebody else hands them out.

    Of a tenant no more than `at_once` are running; what is over that stays due and is never lost.
    Runs of a suspended tenant wait.
    """
    if not await db.fetchval("SELECT pg_try_advisory_xact_lock($1)", _TURN):
        return None
    return [_live(row) for row in await db.fetch(_CLAIM, now, at_once, limit)]


async def lock_running(db: PoolConnection, *, ids: Sequence[str]) -> list[LiveRun]:
    """Lock those of these runs that are with their agent, and return them."""
    rows = await db.fetch(
        f"""
        SELECT {_LIVE} FROM run_queue q JOIN automation_runs r ON r.id = q.run_id
        WHERE q.run_id = ANY ($1) AND q.state = 'running' ORDER BY r.id FOR UPDATE
        """,
        ids,
    )
    return [_live(row) for row in rows]


async def lock_live(db: PoolConnection, *, tenant_id: str, run_id: str) -> tuple[LiveRun, str] | None:
    """Lock one run that has not ended; returns it and its state in the queue."""
    state = await db.fetchval(
        "SELECT state FROM run_queue WHERE tenant_id = $1 AND run_id = $2 FOR UPDATE", tenant_id, run_id
    )
    if state is None:
        return None
    # Afterwards: whoever held the queue's row may have written to the run's.
    row = await db.fetchrow(f"SELECT {_LIVE} FROM automation_runs r WHERE r.id = $1", run_id)
    assert row is not None  # noqa: S101  it has a row in the queue
    return _live(row), state


async def start_run(
    db: PoolConnection, live: LiveRun, *, session_id: str, warnings: Sequence[str], now: datetime
) -> None:
    """Write that the agent has a run: as this job, or this execution."""
    await db.execute("UPDATE run_queue SET state = 'running' WHERE run_id = $1", live.run.id)
    await db.execute(
        "UPDATE automation_runs SET status = 'running', session_id = $2, attempt_at = $3, warnings = $4"
        " WHERE id = $1",
        *(live.run.id, session_id, now, list(warnings) or None),
    )


async def begin_again(
    db: PoolConnection, live: LiveRun, *, error: str, due_at: datetime, now: datetime
) -> None:
    """Keep the attempt that failed, and let another one follow."""
    await db.execute(
        """
        INSERT INTO automation_run_attempts (run_id, attempt, status, session_id, started_at, ended_at, error)
        SELECT id, attempt, 'failed', session_id, coalesce(attempt_at, started_at), $2, $3
        FROM automation_runs WHERE id = $1
        """,
        *(live.run.id, now, error),
    )
    await db.execute(
        "UPDATE run_queue SET state = 'due', due_at = $2 WHERE run_id = $1",
        live.run.id,
        due_at,
    )
    await db.execute(
        "UPDATE automation_runs SET status = 'scheduled', attempt = attempt + 1, session_id = NULL,"
        " attempt_at = $3, error = $2 WHERE id = $1",
        *(live.run.id, error, due_at),
    )


async def end_run(db: PoolConnection, run: Run) -> None:
    """Write how a run ended."""
    await db.execute("DELETE FROM run_queue WHERE run_id = $1", run.id)
    await db.execute(
        """
        UPDATE automation_runs SET status = $2, ended_at = $3, error = $4, session_id = $5, task_id = $6,
            task_run_id = $7, delivery_error = $8, delivery_error_at = $9, warnings = $10,
            attempt_at = coalesce(attempt_at, $3)
        WHERE id = $1
        """,
        *(run.id, run.status, run.ended_at, run.error, run.session_id, run.task_id, run.task_run_id),
        *(run.delivery_error, run.delivery_error_at, list(run.warnings) or None),
    )


async def ask_to_end(db: PoolConnection, *, run_id: str, now: datetime) -> None:
    """Write that the end of a run was asked for; the first time stays."""
    await db.execute(
        "UPDATE automation_runs SET cancel_requested_at = coalesce(cancel_requested_at, $2) WHERE id = $1",
        run_id,
        now,
    )


async def job_of_run(db: PoolConnection, *, run_id: str, kind: str) -> str | None:
    """Return the job in which the agent is with a run now; it may have had others before."""
    job_id: str | None = await db.fetchval(
        "SELECT target_id FROM completion_callbacks"
        " WHERE target = 'job' AND handler = $2 AND subject_id = $1",
        run_id,
        kind,
    )
    return job_id


async def anything_live(db: Database) -> bool:
    """Tell whether any run has not ended."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM run_queue)"))
