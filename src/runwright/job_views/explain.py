"""Why a job has its status: the conditions of a claim, as reasons."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.job_state import JobStatus, QueueState
from runwright.db.pool import Database
from runwright.job_views.model import Explanation, Reason
from runwright.jobs.model import Job
from runwright.runtimes.support import extra_of
from runwright.workers.model import WorkerStatus


class _QueuedJob(msgspec.Struct, frozen=True):
    """What the tables hold about a queued job."""

    state: QueueState
    run_at: datetime
    attempt: int
    worker_status: WorkerStatus
    tenant_suspended: bool
    runtime: str
    max_concurrency: int | None
    worker_running: int
    ahead_of_it: int
    executors: int
    suitable_executors: int
    open_executors: int
    """Suitable ones that have a slot for a job of this tenant."""
    slots: int
    newcomer_slots: int
    running: int
    tenant_running: int


_QUEUED_JOB: Final = """
SELECT q.state, q.run_at, q.attempt, w.status AS worker_status,
       EXISTS (SELECT 1 FROM tenants t WHERE t.id = q.tenant_id AND t.status = 'suspended')
           AS tenant_suspended,
       w.runtime, w.max_concurrency,
       (SELECT count(*) FROM job_queue r WHERE r.state = 'running' AND r.worker_id = q.worker_id)
           AS worker_running,
       (SELECT count(*) FROM (
            SELECT 1 FROM job_queue a
            WHERE a.state = 'ready' AND a.tenant_id = q.tenant_id AND a.worker_id = q.worker_id
              AND (a.rank, a.job_id) < (q.rank, q.job_id) LIMIT 10001
       ) AS bounded) AS ahead_of_it,
       e.*,
       (SELECT count(*) FROM job_queue r WHERE r.tenant_id = q.tenant_id AND r.tenant_slot IS NOT NULL)
           AS tenant_running
FROM job_queue q
JOIN workers w ON w.id = q.worker_id
CROSS JOIN (
    SELECT count(*) AS executors, count(*) FILTER (WHERE x.suitable) AS suitable_executors,
           count(*) FILTER (WHERE x.suitable AND (h.jobs < x.slots
               OR (h.of_tenant = 0 AND h.jobs < x.slots + x.newcomer_slots))) AS open_executors,
           coalesce(sum(x.slots) FILTER (WHERE x.suitable), 0)::integer AS slots,
           coalesce(sum(x.newcomer_slots) FILTER (WHERE x.suitable), 0)::integer AS newcomer_slots,
           coalesce(sum(h.jobs) FILTER (WHERE x.suitable), 0)::integer AS running
    FROM (
        SELECT *, (SELECT coalesce(runtime || '@' || runtime_version, runtime) FROM workers WHERE id = $3)
                  = ANY (runtimes) AS suitable
        FROM executors
        WHERE lease_expires_at > clock_timestamp() AND NOT draining
    ) x
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs, count(*) FILTER (WHERE r.tenant_id = $1) AS of_tenant
        FROM job_queue r WHERE r.state = 'running' AND r.executor_id = x.id
    ) h
) e
WHERE q.tenant_id = $1 AND q.job_id = $2
"""


async def explain_job(
    db: Database, *, job: Job, now: datetime, running_limit: int | None = None
) -> Explanation:
    """Return the reasons for a job's status; for a queued one, every reason why it does not run yet."""
    if job.status is JobStatus.RUNNING:
        reasons = [Reason("running", f"Attempt {job.attempt} has been running since {job.started_at}.")]
        if job.cancel_requested_at is not None:
            reasons.append(Reason("cancelling", "A cancel was asked for; the handler has its grace period."))
    elif job.status is not JobStatus.QUEUED:
        message = f"It ended {job.status}" + (f": {job.error.message}" if job.error is not None else ".")
        reasons = [Reason(job.error.code if job.error is not None else "ended", message)]
    else:
        row = await db.fetchrow(_QUEUED_JOB, job.tenant_id, job.id, job.worker_id)
        if row is None or row["state"] == QueueState.RUNNING:
            reasons = [Reason("starting", "An executor has just taken it.")]
        else:
            reasons = _why_queued(msgspec.convert(dict(row), _QueuedJob), job, now, running_limit)
    return Explanation(job_id=job.id, status=job.status, summary=reasons[0].message, reasons=reasons)


def _why_queued(queued: _QueuedJob, job: Job, now: datetime, running_limit: int | None) -> list[Reason]:
    reasons = [
        *_tenant_reasons(queued, running_limit),
        *_worker_reasons(queued),
        *_time_reasons(queued, now),
        *_place_reasons(queued),
    ]
    return reasons or [Reason("next", f"Nothing holds it; it is next in line (priority {job.priority}).")]


def _tenant_reasons(queued: _QueuedJob, limit: int | None) -> Iterator[Reason]:
    if queued.tenant_suspended:
        yield Reason("tenant_suspended", "The tenant is suspended; it runs when the tenant may work again.")
    running = queued.tenant_running
    if limit is not None and running >= limit:
        message = f"The tenant runs {running} jobs at once, its quota."
        yield Reason("tenant_running_jobs", message, {"running": running, "running_jobs": limit})


def _worker_reasons(queued: _QueuedJob) -> Iterator[Reason]:
    if queued.worker_status is WorkerStatus.PAUSED:
        yield Reason("worker_paused", "Its worker is paused; it runs when the worker is active again.")
    if queued.worker_status is WorkerStatus.DEPRECATED:
        yield Reason("worker_deprecated", "Its worker is deprecated; it is about to be cancelled.")
    limit, running = queued.max_concurrency, queued.worker_running
    if limit is not None and running >= limit:
        message = f"Its worker runs {running} jobs at once, its limit."
        yield Reason("max_concurrency", message, {"running": running, "max_concurrency": limit})


def _time_reasons(queued: _QueuedJob, now: datetime) -> Iterator[Reason]:
    if queued.state is not QueueState.WAITING or queued.run_at <= now:
        return
    seconds = round((queued.run_at - now).total_seconds(), 1)
    details = {"run_at": queued.run_at}
    if queued.attempt > 1:
        message = f"Attempt {queued.attempt} starts in {seconds} s, after the back-off."
        yield Reason("retry_backoff", message, details)
    else:
        yield Reason("scheduled", f"It is scheduled to start in {seconds} s.", details)


def _busy_reason(queued: _QueuedJob) -> Reason:
    """Return the reason where all executors are full, at least for a tenant that holds slots of theirs."""
    details = {"slots": queued.slots, "running": queued.running}
    message = f"All {queued.slots} slots are taken."
    if queued.newcomer_slots > 0:
        details["newcomer_slots"] = queued.newcomer_slots
    if queued.running < queued.slots + queued.newcomer_slots:
        message += f" Further ones ({queued.newcomer_slots}) are for tenants that hold none."
    elif queued.newcomer_slots > 0:
        message = message[:-1] + f", and so are the {queued.newcomer_slots} for tenants that hold none."
    return Reason("executors_busy", message, details)


def _place_reasons(queued: _QueuedJob) -> Iterator[Reason]:
    if queued.executors == 0:
        yield Reason("no_executors", "No executor is running.")
    elif queued.suitable_executors == 0:
        extra = extra_of(queued.runtime)
        hint = f": {extra} brings it" if extra is not None else ""
        message = f"No running executor offers the runtime {queued.runtime}{hint}."
        yield Reason("no_suitable_executor", message, {"runtime": queued.runtime})
    elif queued.open_executors == 0:
        yield _busy_reason(queued)
    if queued.ahead_of_it > 0:
        message = f"{queued.ahead_of_it} jobs of its worker are before it."
        yield Reason("behind_others", message, {"ahead": queued.ahead_of_it})
