"""Reading jobs: one, a page of them, their attempts and their logs.

The status of a job is stored in job_queue until it ends, and in job_results afterwards.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.ids import floor_id
from runwright.core.job_state import TERMINAL, JobStatus, Trigger
from runwright.core.paging import EXACT_COUNT_LIMIT, Listing, PageRequest
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.model import NULL, Job, JobAttempt, JobError, JobFilter

_COLUMNS: Final = """
    j.id, j.worker_id, j.tenant_id, j.trigger, j.priority, j.input, j.triggered_by, j.created_at,
    j.scheduled_at, j.max_retries, j.retry_of, j.schedule_id,
    coalesce(r.status, CASE WHEN q.state = 'running' THEN 'running' ELSE 'queued' END) AS status,
    coalesce(r.attempt, q.attempt) AS attempt,
    coalesce(r.worker_version, q.worker_version, j.worker_version) AS worker_version,
    CASE WHEN r.job_id IS NULL THEN q.started_at ELSE r.started_at END AS started_at,
    r.completed_at, r.duration_ms, r.output, r.error,
    coalesce(r.cancel_requested_at, q.cancel_requested_at) AS cancel_requested_at
"""

_STATE: Final = """
    LEFT JOIN job_queue q ON q.tenant_id = j.tenant_id AND q.job_id = j.id
    LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
"""


def job_from_row(row: Record) -> Job:
    """Build a job from a row with `_COLUMNS`."""
    values = dict(row)
    values["status"] = JobStatus(values["status"])
    values["trigger"] = Trigger(values["trigger"])
    values["output"] = NULL if values["output"] is None else values["output"]
    values["error"] = error_from(values["error"])
    return Job(**values)


def error_from(raw: msgspec.Raw | None) -> JobError | None:
    """Read a stored error."""
    return None if raw is None else msgspec.json.decode(raw, type=JobError)


async def fetch_job(db: Database, *, tenant_id: str, job_id: str) -> Job | None:
    """Return one job as it is now."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM jobs j {_STATE} WHERE j.tenant_id = $1 AND j.id = $2",
        tenant_id,
        job_id,
    )
    return None if row is None else job_from_row(row)


async def fetch_jobs(db: Database | PoolConnection, *, tenant_id: str, job_ids: Sequence[str]) -> list[Job]:
    """Return these jobs, ordered by id; unknown ones are left out."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM jobs j {_STATE} WHERE j.tenant_id = $1 AND j.id = ANY ($2) ORDER BY j.id",
        tenant_id,
        job_ids,
    )
    return [job_from_row(row) for row in rows]


async def fetch_jobs_by_key(db: Database, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Job]:
    """Return the jobs with these (tenant, id); unknown ones are left out."""
    rows = await db.fetch(
        f"""
        SELECT {_COLUMNS} FROM unnest($1::text[], $2::text[]) AS k (tenant_id, job_id)
        JOIN jobs j ON j.tenant_id = k.tenant_id AND j.id = k.job_id {_STATE}
        """,
        [tenant_id for tenant_id, _ in keys],
        [job_id for _, job_id in keys],
    )
    return {(row["tenant_id"], row["id"]): job_from_row(row) for row in rows}


class JobSelection(msgspec.Struct, frozen=True):
    """The jobs that a filter selects: a FROM clause, its WHERE, the id column, the parameters."""

    source: str
    where: str
    id_column: str
    params: list[object]


_ENDED_ONLY: Final = ("error_code", "error_contains", "min_duration_ms")
_MIXED: Final = f"jobs s {_STATE.replace('j.', 's.')}"
_MIXED_STATUS: Final = "coalesce(r.status, CASE WHEN q.state = 'running' THEN 'running' ELSE 'queued' END)"


def _statuses_of(which: JobFilter) -> frozenset[JobStatus] | None:
    """Return the statuses that the filter leaves; None for all."""
    if all(getattr(which, name) is None for name in _ENDED_ONLY):
        return which.statuses
    return TERMINAL if which.statuses is None else which.statuses & TERMINAL


def select_jobs(tenant_id: str, which: JobFilter) -> JobSelection:
    """Choose the table that has an index for this filter, and write the conditions on it."""
    params: list[object] = [tenant_id]

    def put(value: object) -> str:
        params.append(value)
        return f"${len(params)}"

    source, id_column, conditions = _source_of(_statuses_of(which), put)
    if which.ids is not None:
        conditions.append(f"{id_column} = ANY ({put(sorted(which.ids))}::text[])")
    if which.worker_id is not None:
        conditions.append(f"s.worker_id = {put(which.worker_id)}")
    origin = {"trigger": which.trigger, "schedule_id": which.schedule_id}
    if any(value is not None for value in origin.values()):
        row = "s" if id_column == "s.id" else "t"
        if row == "t":
            source += " JOIN jobs t ON t.tenant_id = s.tenant_id AND t.id = s.job_id"
        conditions += [f"{row}.{name} = {put(value)}" for name, value in origin.items() if value is not None]
    if which.created_after is not None:
        conditions.append(f"{id_column} >= {put(floor_id('job', which.created_after))}")
    if which.created_before is not None:
        bound = floor_id("job", which.created_before + timedelta(milliseconds=1))
        conditions.append(f"{id_column} < {put(bound)}")
    conditions += _conditions_on_result(which, put)
    if which.retried is not None:
        retry = f"SELECT FROM job_retries x WHERE x.tenant_id = $1 AND x.job_id = {id_column}"
        conditions.append(f"{'' if which.retried else 'NOT '}EXISTS ({retry})")
    return JobSelection(source, " AND ".join(conditions), id_column, params)


def _source_of(
    statuses: frozenset[JobStatus] | None, put: Callable[[object], str]
) -> tuple[str, str, list[str]]:
    """Return the table, its id column and the conditions for jobs in these states."""
    conditions = ["s.tenant_id = $1"]
    if statuses is None:
        return "jobs s", "s.id", conditions
    if statuses <= TERMINAL:
        # One status as `=`, so that the index gives the newest first.
        one = put(next(iter(statuses))) if len(statuses) == 1 else f"ANY ({put(sorted(statuses))}::text[])"
        return "job_results s", "s.job_id", [*conditions, f"s.status = {one}"]
    if statuses.isdisjoint(TERMINAL):
        if len(statuses) == 1:
            conditions.append(f"s.state {'=' if JobStatus.RUNNING in statuses else '<>'} 'running'")
        return "job_queue s", "s.job_id", conditions
    return _MIXED, "s.id", [*conditions, f"{_MIXED_STATUS} = ANY ({put(sorted(statuses))}::text[])"]


def _conditions_on_result(which: JobFilter, put: Callable[[object], str]) -> list[str]:
    conditions = []
    if which.error_code is not None:
        conditions.append(f"s.error ->> 'code' = {put(which.error_code)}")
    if which.error_contains is not None:
        conditions.append(f"position(lower({put(which.error_contains)}) IN lower(s.error ->> 'message')) > 0")
    if which.min_duration_ms is not None:
        conditions.append(f"s.duration_ms >= {put(which.min_duration_ms)}")
    return conditions


async def list_jobs(db: Database, *, tenant_id: str, which: JobFilter, page: PageRequest) -> Listing[Job]:
    """Return one page of jobs, newest first, with the total (exact up to a bound, estimated above)."""
    s = select_jobs(tenant_id, which)
    params = list(s.params)
    where, offset = s.where, (page.page - 1) * page.per_page
    if page.after_id is not None:
        params.append(page.after_id)
        where, offset = f"{where} AND {s.id_column} < ${len(params)}", 0
    sql = f"""
        WITH page AS MATERIALIZED (
            SELECT {s.id_column} AS id FROM {s.source} WHERE {where}
            ORDER BY {s.id_column} DESC LIMIT {page.per_page + 1} OFFSET {offset}
        )
        SELECT {_COLUMNS} FROM page
        JOIN jobs j ON j.tenant_id = $1 AND j.id = page.id {_STATE}
        ORDER BY j.id DESC
        """
    rows, total = await asyncio.gather(db.fetch(sql, *params), _count(db, s))
    jobs = [job_from_row(row) for row in rows[: page.per_page]]
    more = len(rows) > page.per_page
    return Listing(rows=jobs, total=total, has_more=more, next_id=jobs[-1].id if more else None)


async def _count(db: Database, s: JobSelection) -> int:
    bounded = f"SELECT 1 FROM {s.source} WHERE {s.where} LIMIT {EXACT_COUNT_LIMIT + 1}"
    counted: int = await db.fetchval(f"SELECT count(*) FROM ({bounded}) AS bounded", *s.params)
    if counted <= EXACT_COUNT_LIMIT:
        return counted
    plan = await db.fetchval(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {s.source} WHERE {s.where}", *s.params)
    return max(counted, int(msgspec.json.decode(plan)[0]["Plan"]["Plan Rows"]))


async def fetch_status(db: Database, *, tenant_id: str, job_id: str) -> JobStatus | None:
    """Return the status of a job of the tenant; None where there is no such job."""
    status = await db.fetchval(
        """
        SELECT coalesce(r.status, CASE q.state WHEN 'running' THEN 'running' ELSE 'queued' END)
        FROM jobs j
        LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
        LEFT JOIN job_queue q ON q.tenant_id = j.tenant_id AND q.job_id = j.id
        WHERE j.tenant_id = $1 AND j.id = $2
        """,
        tenant_id,
        job_id,
    )
    return None if status is None else JobStatus(status)


_OF_CURRENT_ATTEMPT: Final = (
    *("attempt", "status", "worker_version", "started_at", "completed_at", "duration_ms", "error"),
)


async def fetch_attempts(db: Database, *, job: Job) -> list[JobAttempt]:
    """Return the attempts of a job, oldest first; the last one is the current or final one."""
    rows = await db.fetch("SELECT * FROM job_attempts WHERE job_id = $1 ORDER BY attempt, fence", job.id)
    attempts = [
        JobAttempt(
            attempt=row["attempt"],
            status=JobStatus.FAILED,
            worker_version=row["worker_version"],
            executor_id=row["executor_id"],
            started_at=row["started_at"],
            completed_at=row["ended_at"],
            duration_ms=_milliseconds(row["started_at"], row["ended_at"]),
            error=error_from(row["error"]),
        )
        for row in rows
    ]
    if job.started_at is not None:
        executor_id = await db.fetchval(
            """
            SELECT executor_id FROM job_results WHERE tenant_id = $1 AND job_id = $2
            UNION ALL
            SELECT executor_id FROM job_queue WHERE tenant_id = $1 AND job_id = $2
            """,
            job.tenant_id,
            job.id,
        )
        current = {name: getattr(job, name) for name in _OF_CURRENT_ATTEMPT}
        attempts.append(JobAttempt(executor_id=executor_id, **current))
    return attempts


def _milliseconds(start: datetime | None, end: datetime) -> int | None:
    return None if start is None else round((end - start).total_seconds() * 1000)


class StoredLine(msgspec.Struct, frozen=True, array_like=True):
    """A log line as chunks hold it."""

    ts: datetime
    level: str
    msg: str


class StoredChunk(msgspec.Struct, frozen=True):
    """A chunk of log lines as read back."""

    first_seq: int
    attempt: int
    lines: list[StoredLine]


_decode_lines: Final = msgspec.json.Decoder(list[StoredLine]).decode


async def fetch_log_chunks(
    db: Database, *, job_id: str, after: int, limit: int, offset: int
) -> list[StoredChunk]:
    """Return up to `limit` chunks, oldest first, that hold lines with a seq above `after`."""
    rows = await db.fetch(
        """
        SELECT first_seq, attempt, lines FROM job_log_chunks
        WHERE job_id = $1 AND last_seq > $2 ORDER BY first_seq LIMIT $3 OFFSET $4
        """,
        job_id,
        after,
        limit,
        offset,
    )
    return [StoredChunk(row["first_seq"], row["attempt"], _decode_lines(row["lines"])) for row in rows]
