"""Jobs over time: how many were created in each of some equal parts of a period, and how they went.

A job is in the part in which it was created, as its id says, so that a part of a chart is a filter of the
list. One statement reads a bounded number of jobs, the newest that the filter leaves.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.ids import floor_id, time_of
from runwright.core.job_state import JobStatus
from runwright.db.pool import Database
from runwright.job_views.model import JobFilter, JobSeries, SeriesPart, SeriesRow
from runwright.job_views.store.selection import Branch, select_jobs

SERIES_WINDOW: Final = 50_000
"""How many jobs are counted at most."""

MOST_WORKERS: Final = 200

_LIVE: Final = (
    "CASE s.state WHEN 'running' THEN 'running' ELSE 'queued' END AS status, NULL::integer AS duration_ms"
)
_ENDED: Final = "s.status, s.duration_ms"
_COUNTS: Final = ", ".join(
    f"count(*) FILTER (WHERE p.status = '{status}') AS {status}" for status in JobStatus
)
_RUNS: Final = ", ".join(
    f"percentile_disc({share}) WITHIN GROUP (ORDER BY p.duration_ms) AS p{round(share * 100)}_run_ms"
    for share in (0.5, 0.95, 0.99)
)
_WAIT: Final = (
    "percentile_disc(0.95) WITHIN GROUP (ORDER BY (extract(epoch FROM p.started_at"
    " - greatest(j.created_at, j.scheduled_at)) * 1000)::bigint) FILTER (WHERE p.attempt = 1) AS p95_wait_ms"
)


class _Aggregate(msgspec.Struct, frozen=True):
    """A row of the statement: a part of a period, or (without `part`) the whole of it."""

    worker_id: str | None
    part: int | None
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    p50_run_ms: int | None
    p95_run_ms: int | None
    p99_run_ms: int | None
    p95_wait_ms: int | None
    oldest: str | None


async def fetch_series(
    db: Database,
    *,
    tenant_id: str,
    which: JobFilter,
    since: datetime,
    until: datetime,
    parts: int,
    by_worker: bool = False,
) -> JobSeries:
    """Return the jobs that were created from `since` until before `until`, in all or for each worker."""
    step = (until - since) / parts
    within = msgspec.structs.replace(
        which,
        statuses=frozenset(JobStatus) if which.statuses is None else which.statuses,
        created_after=since,
        created_before=until - timedelta(milliseconds=1),
    )
    selection = select_jobs(tenant_id, within)
    starts = [floor_id("job", since + n * step) for n in range(parts)]
    sql = _statement(
        [_rows_of(branch) for branch in selection.branches], len(selection.params) + 1, by_worker
    )
    rows = await db.fetch(sql, *selection.params, starts)
    found = [msgspec.convert(dict(row), _Aggregate) for row in rows]
    counted = sum(_size(row) for row in found if row.part is None)
    cut = counted >= SERIES_WINDOW
    oldest = min((row.oldest for row in found if row.oldest is not None), default=None)
    return JobSeries(
        since=since,
        until=until,
        step_ms=round(step / timedelta(milliseconds=1)),
        cut_at=time_of(oldest) if cut and oldest is not None else None,
        rows=_series_of(found, parts),
    )


def _rows_of(branch: Branch) -> str:
    columns = _LIVE if branch.table == "job_queue" else _ENDED
    conditions = " AND ".join((*branch.where, *branch.found))
    return (
        f"(SELECT {branch.id_column} AS id, s.worker_id, s.attempt, s.started_at, {columns}"
        f" FROM {branch.source} WHERE {conditions} ORDER BY {branch.id_column} DESC LIMIT {SERIES_WINDOW})"
    )


def _statement(branches: list[str], starts: int, by_worker: bool) -> str:  # noqa: FBT001  one caller
    worker = "p.worker_id" if by_worker else "NULL::text"
    sets = "(p.worker_id, part), (p.worker_id)" if by_worker else "(part), ()"
    return f"""
        -- the newest jobs of each table, then of all
        WITH picked AS MATERIALIZED (
            SELECT * FROM ({" UNION ALL ".join(branches)}) AS parts ORDER BY id DESC LIMIT {SERIES_WINDOW}
        ),
        -- each with its part of the period
        p AS (SELECT *, width_bucket(id, ${starts}::text[]) - 1 AS part FROM picked)
        SELECT {worker} AS worker_id, part, {_COUNTS}, {_RUNS}, {_WAIT}, min(p.id) AS oldest
        FROM p JOIN jobs j ON j.tenant_id = $1 AND j.id = p.id
        GROUP BY GROUPING SETS ({sets})
        ORDER BY part NULLS FIRST, count(*) DESC
        """


def _size(row: _Aggregate) -> int:
    return row.queued + row.running + row.completed + row.failed + row.cancelled


def _series_of(found: list[_Aggregate], parts: int) -> list[SeriesRow]:
    by_worker: dict[str | None, list[SeriesPart]] = {}
    rows = [row for row in found if row.part is None][:MOST_WORKERS]
    for row in rows:
        by_worker[row.worker_id] = [SeriesPart()] * parts
    for row in found:
        if row.part is not None and row.worker_id in by_worker:
            by_worker[row.worker_id][row.part] = msgspec.convert(row, SeriesPart, from_attributes=True)
    return [
        SeriesRow(
            worker_id=row.worker_id,
            whole=msgspec.convert(row, SeriesPart, from_attributes=True),
            parts=by_worker[row.worker_id],
        )
        for row in rows
    ]
