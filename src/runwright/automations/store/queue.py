"""SQL of live runs: claim, start, retry and end them.

States of a row of run_queue: due (not before `due_at`) → running (with its agent) → deleted, or due again
for another attempt. A run that waits for earlier ones of its schedule is due at infinity until it is the
first of its lane: the live runs of an automation with a `lane_at`. Every statement runs in a transaction
that has locked the row. A run has one row, so it ends once. Its status in automation_runs changes in the
same transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from asyncpg import Record

from runwright.automations.model import Run, RunPlan, RunStatus
from runwright.automations.store.runs import RUN_COLUMNS, run_from_row
from runwright.core.job_state import Trigger
from runwright.db.pool import Database, PoolConnection

_DISPATCH_LOCK: Final = 5_820_193_377_116_004
"""The advisory lock of dispatching."""


class RunQueueState(StrEnum):
    """The state of a live run."""

    DUE = "due"
    RUNNING = "running"


class LiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has not ended, with everything that is needed to continue it."""

    run: Run
    plan: RunPlan
    cause: Trigger
    context: msgspec.Raw | None
    ancestry: tuple[str, ...]
    cancel_requested: bool

    @property
    def child_ancestry(self) -> tuple[str, ...]:
        """The ancestry of events and jobs that this run causes."""
        return (*self.ancestry, self.run.automation_id)


_LIVE: Final = f"{RUN_COLUMNS}, r.plan, r.cause, r.activation, r.ancestry, r.cancel_requested_at"


def _live(row: Record) -> LiveRun:
    return LiveRun(
        run=run_from_row(row),
        plan=msgspec.json.decode(row["plan"], type=RunPlan),
        cause=Trigger(row["cause"]),
        context=row["activation"],
        ancestry=tuple(row["ancestry"] or ()),
        cancel_requested=row["cancel_requested_at"] is not None,
    )


_CHOOSE: Final = f"""
WITH RECURSIVE
-- each tenant with due runs, found by skipping through the index
tenant AS (
    (SELECT tenant_id FROM run_queue WHERE state = 'due' ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT following.tenant_id FROM tenant CROSS JOIN LATERAL (
        SELECT q.tenant_id FROM run_queue q WHERE q.state = 'due' AND q.tenant_id > tenant.tenant_id
        ORDER BY q.tenant_id LIMIT 1
    ) following
),
-- how many turns each of them has left, and how many runs are under way; those being rendered are
free AS (
    SELECT t.tenant_id, $2 - busy.runs AS turns, busy.runs
    FROM tenant t CROSS JOIN LATERAL (
        SELECT count(*) + (SELECT count(*) FROM run_queue r WHERE r.run_id = ANY ($5)
                           AND r.tenant_id = t.tenant_id) AS runs
        FROM run_queue b WHERE b.tenant_id = t.tenant_id AND b.state = 'running'
    ) busy
    WHERE busy.runs < $2
      AND NOT EXISTS (SELECT FROM tenants s WHERE s.id = t.tenant_id AND s.status = 'suspended')
),
-- the automations with due runs of these tenants, found like the tenants
automation AS (
    SELECT f.tenant_id, f.turns, f.runs, first.automation_id FROM free f CROSS JOIN LATERAL (
        SELECT automation_id FROM run_queue WHERE state = 'due' AND tenant_id = f.tenant_id
        ORDER BY automation_id LIMIT 1
    ) first
    UNION ALL
    SELECT a.tenant_id, a.turns, a.runs, following.automation_id FROM automation a CROSS JOIN LATERAL (
        SELECT q.automation_id FROM run_queue q
        WHERE q.state = 'due' AND q.tenant_id = a.tenant_id AND q.automation_id > a.automation_id
        ORDER BY q.automation_id LIMIT 1
    ) following
),
-- the due runs of each automation; of three or more turns one is left to the tenant's other automations
candidate AS (
    SELECT a.tenant_id, a.turns, a.runs, c.run_id, c.due_at, busy.runs + row_number() OVER (
        PARTITION BY a.tenant_id, a.automation_id ORDER BY c.due_at, c.run_id) AS own_turn
    FROM automation a
    CROSS JOIN LATERAL (
        SELECT (SELECT count(*) FROM run_queue b WHERE b.tenant_id = a.tenant_id AND b.state = 'running'
                AND b.automation_id = a.automation_id)
             + (SELECT count(*) FROM run_queue r WHERE r.run_id = ANY ($5)
                AND r.automation_id = a.automation_id) AS runs
    ) busy
    CROSS JOIN LATERAL (
        SELECT q.run_id, q.due_at FROM run_queue q
        WHERE q.tenant_id = a.tenant_id AND q.automation_id = a.automation_id
          AND q.state = 'due' AND q.due_at <= $1 AND {{which}}
        ORDER BY q.due_at, q.run_id
        LIMIT least(a.turns, greatest(CASE WHEN $2 > 2 THEN $2 - 1 ELSE $2 END - busy.runs, 0))
    ) c
),
-- those that fit, the automation and the tenant with the least under way first
chosen AS (
    SELECT p.run_id, p.due_at, p.runs + p.place AS turn
    FROM (SELECT *, row_number() OVER (
        PARTITION BY tenant_id ORDER BY own_turn, due_at, run_id) AS place FROM candidate) p
    WHERE p.place <= p.turns
    ORDER BY turn, p.due_at LIMIT $3
)
SELECT {_LIVE} FROM chosen c JOIN run_queue q ON q.run_id = c.run_id AND q.state = 'due'
JOIN automation_runs r ON r.id = q.run_id
ORDER BY c.turn, c.due_at
"""
_PROMOTE: Final = """
WITH RECURSIVE
-- the first run of each lane, found by skipping through the index
head AS (
    (SELECT automation_id, run_id FROM run_queue WHERE lane_at IS NOT NULL
     ORDER BY automation_id, lane_at LIMIT 1)
    UNION ALL
    SELECT following.automation_id, following.run_id FROM head CROSS JOIN LATERAL (
        SELECT q.automation_id, q.run_id FROM run_queue q
        WHERE q.lane_at IS NOT NULL AND q.automation_id > head.automation_id
        ORDER BY q.automation_id, q.lane_at LIMIT 1
    ) following
)
UPDATE run_queue q SET due_at = $1 FROM head WHERE q.run_id = head.run_id AND q.due_at = 'infinity'
"""
_FETCH: Final = _CHOOSE.format(which="q.run_id <> ALL ($4::text[])")
_CLAIM: Final = _CHOOSE.format(which="q.run_id = ANY ($4::text[])") + " FOR UPDATE OF q SKIP LOCKED"


class DispatchBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs are dispatched: `limit`, and of a tenant so many that `concurrency` are running."""

    now: datetime
    concurrency: int
    limit: int


class DueRuns(msgspec.Struct, frozen=True):
    """Runs that are due; `unreadable` are those of which this release cannot read the plan."""

    live: Sequence[LiveRun]
    unreadable: Sequence[tuple[str, Exception]]


async def fetch_due_runs(db: Database, bounds: DispatchBounds, *, rendering: Mapping[str, str]) -> DueRuns:
    """Return due runs, the tenant with the least under way first. Runs of suspended tenants wait.

    Runs that waited for earlier ones of their schedule are due as soon as those have ended. `rendering` has
    runs that are left out, and count as running.
    """
    await db.execute(_PROMOTE, bounds.now)
    ids = list(rendering)
    rows = await db.fetch(_FETCH, bounds.now, bounds.concurrency, bounds.limit, ids, ids)
    live: list[LiveRun] = []
    unreadable: list[tuple[str, Exception]] = []
    for row in rows:
        try:
            live.append(_live(row))
        except (msgspec.MsgspecError, ValueError) as error:
            unreadable.append((row["id"], error))
    return DueRuns(live, unreadable)


async def postpone_runs(db: Database, run_ids: Sequence[str], *, until: datetime) -> None:
    """Leave due runs untouched until a time; no attempt is counted."""
    await db.execute(
        "UPDATE run_queue SET due_at = $2 WHERE run_id = ANY ($1) AND state = 'due'", run_ids, until
    )


async def claim_due_runs(
    db: PoolConnection, bounds: DispatchBounds, *, ids: Sequence[str]
) -> Sequence[LiveRun] | None:
    """Lock those of these runs that are due and within the bounds; None while another process dispatches."""
    if not await db.fetchval("SELECT pg_try_advisory_xact_lock($1)", _DISPATCH_LOCK):
        return None
    rows = await db.fetch(_CLAIM, bounds.now, bounds.concurrency, bounds.limit, ids, [])
    return [_live(row) for row in rows]


async def lock_running(db: PoolConnection, *, ids: Sequence[str]) -> list[LiveRun]:
    """Lock and return those of these runs that are with their agent."""
    rows = await db.fetch(
        f"""
        SELECT {_LIVE} FROM run_queue q JOIN automation_runs r ON r.id = q.run_id
        WHERE q.run_id = ANY ($1) AND q.state = 'running' ORDER BY r.id FOR UPDATE
        """,
        ids,
    )
    return [_live(row) for row in rows]


async def lock_live(
    db: PoolConnection, *, tenant_id: str, run_id: str
) -> tuple[LiveRun, RunQueueState] | None:
    """Lock a run that has not ended; return it and its state in the queue."""
    state = await db.fetchval(
        "SELECT state FROM run_queue WHERE tenant_id = $1 AND run_id = $2 FOR UPDATE", tenant_id, run_id
    )
    if state is None:
        return None
    # In this order: a transaction that held the lock may have changed the run.
    row = await db.fetchrow(f"SELECT {_LIVE} FROM automation_runs r WHERE r.id = $1", run_id)
    assert row is not None  # noqa: S101  it has a row in the queue
    return _live(row), RunQueueState(state)


async def fetch_ended(
    db: PoolConnection, *, tenant_id: str, run_id: str
) -> tuple[Run, Trigger, bytes | None, tuple[str, ...]] | None:
    """Return a run of the tenant with its cause, its context and its ancestry, to fire it again."""
    row = await db.fetchrow(
        f"SELECT {_LIVE} FROM automation_runs r WHERE r.tenant_id = $1 AND r.id = $2", tenant_id, run_id
    )
    if row is None:
        return None
    context = None if row["activation"] is None else bytes(row["activation"])
    return run_from_row(row), Trigger(row["cause"]), context, tuple(row["ancestry"] or ())


async def start_run(
    db: PoolConnection, live: LiveRun, *, session_id: str, warnings: Sequence[str], now: datetime
) -> None:
    """Record that an agent has started a run, as a job or an execution with this id."""
    await db.execute("UPDATE run_queue SET state = $2 WHERE run_id = $1", live.run.id, RunQueueState.RUNNING)
    await db.execute(
        "UPDATE automation_runs SET status = $5, session_id = $2, attempt_at = $3, warnings = $4"
        " WHERE id = $1",
        *(live.run.id, session_id, now, list(warnings) or None, RunStatus.RUNNING),
    )


async def schedule_retry(
    db: PoolConnection,
    live: LiveRun,
    *,
    error: str,
    due_at: datetime,
    now: datetime,
    last_job_id: str | None = None,
) -> None:
    """Record the failed attempt, with the last job of its agent, and make the run due again."""
    await db.execute(
        """
        INSERT INTO automation_run_attempts (run_id, attempt, status, session_id, started_at, ended_at, error)
        SELECT id, attempt, 'failed', coalesce($4, session_id), coalesce(attempt_at, started_at), $2, $3
        FROM automation_runs WHERE id = $1
        """,
        *(live.run.id, now, error, last_job_id),
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


async def fetch_last_inputs(
    db: PoolConnection, run_ids: Sequence[str]
) -> Mapping[tuple[str, str], msgspec.Raw]:
    """Return the input of the job that failed in the attempt before, by run and worker."""
    rows = await db.fetch(
        """
        SELECT r.id, j.worker_id, j.input FROM automation_runs r
        JOIN automation_run_attempts a ON a.run_id = r.id AND a.attempt = r.attempt - 1
        JOIN jobs j ON j.tenant_id = r.tenant_id AND j.id = a.session_id
        WHERE r.id = ANY ($1)
        """,
        list(run_ids),
    )
    return {(row["id"], row["worker_id"]): row["input"] for row in rows}


async def end_run(db: PoolConnection, run: Run) -> None:
    """Record the end of a run."""
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


async def request_cancel(db: PoolConnection, *, run_id: str, now: datetime) -> None:
    """Record that the cancellation of a run was requested; the time of the first request is kept."""
    await db.execute(
        "UPDATE automation_runs SET cancel_requested_at = coalesce(cancel_requested_at, $2) WHERE id = $1",
        run_id,
        now,
    )


async def job_of_run(db: PoolConnection, *, run_id: str, kind: str) -> str | None:
    """Return the job of the current attempt of a run; earlier attempts have had others."""
    job_id: str | None = await db.fetchval(
        "SELECT target_id FROM completion_callbacks"
        " WHERE target = 'job' AND handler = $2 AND subject_id = $1",
        run_id,
        kind,
    )
    return job_id


async def count_live_runs(db: PoolConnection, *, ids: Sequence[str], limit: int) -> dict[str, int]:
    """Return how many runs of these automations have not ended, each counted up to a limit."""
    rows = await db.fetch(
        """
        SELECT a.id, (SELECT count(*) FROM run_queue b WHERE b.tenant_id = a.tenant_id
                      AND b.automation_id = a.id AND b.state = 'running')
                   + (SELECT count(*) FROM (SELECT FROM run_queue q WHERE q.tenant_id = a.tenant_id
                      AND q.automation_id = a.id AND q.state = 'due' LIMIT $2) due) AS runs
        FROM automations a WHERE a.id = ANY ($1)
        """,
        *(ids, limit),
    )
    return {row["id"]: row["runs"] for row in rows}


async def has_live_runs(db: Database) -> bool:
    """Return whether any run has not ended."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM run_queue)"))
