"""SQL of firing: insert the runs of fires under the fire limit, in the transaction of their cause.

Invariants:
- The automation's row is locked first, so concurrent fires of one automation are serialized: the check of
  the limit and the insert are atomic.
- Runs that count towards the limit are numbered. Their count in the window is the difference of two numbers,
  so no fire counts all rows; cancelled runs no longer count and are subtracted.
- The start times of counted runs have the order of their numbers, whatever the clocks of the servers;
  runs that were created together have the same time.
- An existing run id is not inserted again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.automations.errors import FireLimitError
from runwright.automations.model import Automation, FireLimit, Run, RunOverlap, RunPlan, RunStatus
from runwright.automations.store.definitions import COLUMNS, automation_from_row
from runwright.automations.store.runs import fetch_runs_by_id
from runwright.core.ids import RunId
from runwright.core.job_state import Trigger
from runwright.core.template_context import Json
from runwright.db.pool import PoolConnection
from runwright.events.event_sql import append_watched_sql


class Fire(msgspec.Struct, frozen=True, kw_only=True):
    """A request to fire an automation, at most once per run id; `context` is JSON text."""

    automation_id: str
    run_id: str
    cause: Trigger
    fire_id: str | None = None
    scheduled_at: datetime | None = None
    context: bytes | None = None
    ancestry: tuple[str, ...] = ()
    limited_as: RunStatus | None = None
    """The status of the run if the limit is reached; None: no run is recorded."""
    refused: str | None = None
    """Why the run must not start: it is recorded as cancelled and does not count."""
    in_turn: bool = False
    """Whether the run waits for earlier ones of its schedule, where the automation queues."""


class Limited(msgspec.Struct, frozen=True):
    """A fire over the limit, with its run if one was recorded."""

    error: FireLimitError
    run: Run | None


FireAnswer = Run | Limited | None
"""The result of a fire; None: the automation does not exist."""


class _Window(msgspec.Struct):
    """How many runs of an automation its window contains; every fire updates it."""

    automation: Automation
    fires: int
    counted: int
    oldest: datetime | None
    now: datetime
    """Not before the last counted run."""


_LOCK: Final = f"""
SELECT {COLUMNS}, a.fires
FROM automations a WHERE a.id = ANY ($1) ORDER BY a.id FOR UPDATE
"""
_COUNT: Final = """
SELECT i.id, i.now, first.number, (
    SELECT count(*) FROM automation_runs u WHERE u.automation_id = i.id AND u.started_at >= i.since
    AND u.number IS NOT NULL AND u.status = 'cancelled'
) AS uncounted, (
    SELECT o.started_at FROM automation_runs o WHERE o.automation_id = i.id AND o.started_at >= i.since
    AND o.number IS NOT NULL AND o.status <> 'cancelled' ORDER BY o.started_at LIMIT 1
) AS oldest
FROM (
    SELECT a.id, n.now, n.now - a.limit_span AS since FROM automations a CROSS JOIN LATERAL (
        SELECT greatest($2, (SELECT l.started_at FROM automation_runs l WHERE l.automation_id = a.id
            AND l.number IS NOT NULL ORDER BY l.started_at DESC LIMIT 1)) AS now
    ) n WHERE a.id = ANY ($1)
) i
LEFT JOIN LATERAL (
    SELECT r.number, r.started_at FROM automation_runs r WHERE r.automation_id = i.id
    AND r.started_at >= i.since AND r.number IS NOT NULL ORDER BY r.started_at, r.number LIMIT 1
) first ON true
"""


async def fire(db: PoolConnection, fires: Sequence[Fire], now: datetime) -> Sequence[FireAnswer]:
    """Insert the runs of these fires, due now; return the answers in their order."""
    windows = await _open_windows(db, sorted({one.automation_id for one in fires}), now)
    known = await fetch_runs_by_id(db, ids=[one.run_id for one in fires])
    fresh: dict[str, tuple[Fire, Run, int | None, RunPlan]] = {}
    answers: list[FireAnswer] = []
    for one in fires:
        window = windows.get(one.automation_id)
        if one.run_id in known or window is None:
            answers.append(known.get(one.run_id))
            continue
        answer, number = _judge(one, window)
        run = answer.run if isinstance(answer, Limited) else answer
        if run is not None:
            known[run.id] = run
            fresh[run.id] = (one, run, number, plan_of(window.automation))
        answers.append(answer)
    if fresh:
        await _insert(db, list(fresh.values()))
        await _update_fires(db, windows)
    return answers


async def _open_windows(db: PoolConnection, ids: Sequence[str], now: datetime) -> dict[str, _Window]:
    locked = await db.fetch(_LOCK, ids)
    counts = await db.fetch(_COUNT, [row["id"] for row in locked], now)
    by_id = {row["id"]: row for row in counts}
    return {row["id"]: _window(row, by_id[row["id"]]) for row in locked}


def _window(row: Record, count: Record) -> _Window:
    first = count["number"]
    counted = 0 if first is None else row["fires"] - first + 1 - count["uncounted"]
    return _Window(automation_from_row(row), row["fires"], counted, count["oldest"], count["now"])


def _judge(one: Fire, window: _Window) -> tuple[Run | Limited, int | None]:
    automation, limit, now = window.automation, window.automation.fire_limit, window.now
    if one.refused is not None:
        run = _run(one, automation, now)
        return msgspec.structs.replace(run, status=RunStatus.CANCELLED, ended_at=now, error=one.refused), None
    if window.counted >= limit.max:
        error = _limit_error(window, limit, now)
        recorded = None
        if one.limited_as is not None:
            recorded = msgspec.structs.replace(
                _run(one, automation, now), status=one.limited_as, ended_at=now, error=error.message
            )
        return Limited(error, recorded), None
    window.fires += 1
    window.counted += 1
    window.oldest = window.oldest or now
    return _run(one, automation, now), window.fires


def _limit_error(window: _Window, limit: FireLimit, now: datetime) -> FireLimitError:
    return FireLimitError(window.counted, limit, (window.oldest or now) + limit.span)


def _run(one: Fire, automation: Automation, now: datetime) -> Run:
    return Run(
        id=RunId(one.run_id),
        tenant_id=automation.tenant_id,
        automation_id=automation.id,
        kind=automation.kind,
        status=RunStatus.SCHEDULED,
        fire_id=one.fire_id,
        scheduled_at=one.scheduled_at,
        started_at=now,
    )


def plan_of(one: Automation) -> RunPlan:
    """Return what a run of the automation does, as it is defined now."""
    names = (name for name in RunPlan.__struct_fields__ if hasattr(one.definition, name))
    return RunPlan(**{name: getattr(one.definition, name) for name in names})


_FIRED_EVENTS: Final = append_watched_sql(
    """SELECT tenant_id, 'run.fired', id, started_at,
           json_build_object('automation_id', automation_id, 'status', status)
    FROM inserted"""
)


async def _insert(db: PoolConnection, items: Sequence[tuple[Fire, Run, int | None, RunPlan]]) -> None:
    await db.execute(
        f"""
        WITH inserted AS (
            INSERT INTO automation_runs (id, tenant_id, automation_id, kind, status, number, fire_id,
                scheduled_at, started_at, ended_at, error, cause, plan, activation, ancestry)
            SELECT i.id, i.tenant_id, i.automation_id, i.kind, i.status, i.number, i.fire_id, i.scheduled_at,
                i.started_at, i.ended_at, i.error, i.cause, i.plan, i.activation,
                ARRAY(SELECT json_array_elements_text(i.ancestry))
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[],
                $13::json[], $14::json[], $15::json[])
                AS i (id, tenant_id, automation_id, kind, status, number, fire_id, scheduled_at, started_at,
                      ended_at, error, cause, plan, activation, ancestry)
            RETURNING id, tenant_id, automation_id, scheduled_at, started_at, status
        ), {_FIRED_EVENTS}
        INSERT INTO run_queue (run_id, tenant_id, automation_id, due_at, lane_at)
        SELECT id, tenant_id, automation_id,
            CASE WHEN id = ANY ($16) THEN 'infinity' ELSE started_at END,
            CASE WHEN id = ANY ($16) THEN scheduled_at END
        FROM inserted WHERE status = 'scheduled'
        """,
        *([getattr(run, name) for _, run, _, _ in items] for name in ("id", "tenant_id", "automation_id")),
        *([getattr(run, name) for _, run, _, _ in items] for name in ("kind", "status")),
        [number for _, _, number, _ in items],
        *([getattr(run, name) for _, run, _, _ in items] for name in ("fire_id", "scheduled_at")),
        *([getattr(run, name) for _, run, _, _ in items] for name in ("started_at", "ended_at", "error")),
        [one.cause for one, _, _, _ in items],
        [msgspec.json.encode(plan) for _, _, _, plan in items],
        [one.context for one, _, _, _ in items],
        [msgspec.json.encode(one.ancestry) for one, _, _, _ in items],
        [run.id for one, run, _, plan in items if one.in_turn and plan.overlap == RunOverlap.QUEUE],
    )


async def _update_fires(db: PoolConnection, windows: dict[str, _Window]) -> None:
    await db.execute(
        "UPDATE automations a SET fires = i.fires FROM unnest($1::text[], $2::bigint[]) AS i (id, fires)"
        " WHERE a.id = i.id AND a.fires <> i.fires",
        list(windows),
        [window.fires for window in windows.values()],
    )


async def fetch_job_event_data(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Return the data of jobs by id, without their input and output."""
    if not ids:
        return {}
    rows = await db.fetch(
        """
        SELECT j.id, json_build_object(
            'job_id', j.id, 'worker_id', j.worker_id, 'worker_name', w.name, 'trigger', j.trigger,
            'triggered_by', j.triggered_by, 'schedule_id', j.schedule_id, 'status', r.status,
            'attempt', r.attempt, 'duration_ms', r.duration_ms, 'error', r.error
        ) AS data
        FROM jobs j JOIN workers w ON w.id = j.worker_id
        LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
        WHERE j.id = ANY ($1)
        """,
        ids,
    )
    return {row["id"]: msgspec.json.decode(row["data"]) for row in rows}
