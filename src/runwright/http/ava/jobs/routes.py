"""The routes of jobs."""

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET
from starlette.responses import Response

from runwright.core.ids import JobId
from runwright.core.turns import in_turns
from runwright.http.ava.authorization import READS, RUNS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, known_id, optional, read_cursor_page
from runwright.http.ava.jobs.filters import LIST_JOBS, JobQuery, job_filter
from runwright.http.ava.jobs.log_schemas import (
    READ_LOGS,
    STREAM_LOGS,
    JobLogsOut,
    LogQuery,
    LogStreamQuery,
    logs_out,
    read_end,
    read_last_event,
)
from runwright.http.ava.jobs.log_stream import log_events
from runwright.http.ava.jobs.schemas import (
    CREATE_JOB,
    CREATE_JOBS,
    SUBMIT_QUERY,
    AttemptOut,
    ExplanationOut,
    JobIn,
    JobOut,
    JobPage,
    JobsIn,
    SubmitQuery,
    explanation_out,
    job_out,
    job_page,
    read_idempotency,
    submission_of,
)
from runwright.http.ava.jobs.series_schemas import (
    READ_SERIES,
    JobSeriesOut,
    SeriesQuery,
    series_out,
    series_period,
)
from runwright.http.event_stream import EventStreamResponse
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.response import EVENT_STREAM, LateRows, Reply, groups_of
from runwright.http.routing import Routes
from runwright.job_views.store.listing import decode_cursor

ROUTES: Final = Routes(AVA, "/v1/ava/jobs", tag="Jobs")

_SOME_WORKER: Final = "wkr_01jd9x3v7m0000000000000000"


@ROUTES.add("GET", "", READS, "List jobs", query=JobQuery, errors=(422,))
async def list_jobs(request: Request) -> Reply[JobPage]:
    """Returns jobs newest first, or in the order of `sort`."""
    query = request.query(LIST_JOBS)
    sort = query.sort
    page = read_cursor_page(query, lambda text: decode_cursor(text, sort) is not None)
    which = await job_filter(query, request)
    views, tenant_id = request.services.job_views, request.tenant_id
    listing = await views.list(tenant_id, which, page, sort, payloads=query.payloads)
    left_out = {job.id: job.left_out for job in listing.rows if job.left_out}

    async def load(rows: Sequence[JobOut]) -> Sequence[JobOut]:
        late = [row.id for row in rows if row.id in left_out]
        jobs = await views.with_payloads(tenant_id, late)
        return [job_out(jobs[row.id]) if row.id in jobs else row for row in rows]

    groups = groups_of([job.left_out for job in listing.rows])
    late_rows = LateRows("data", groups, load) if left_out else None
    return Reply(job_page(listing, page), 200, late_rows=late_rows)


@ROUTES.add(
    "POST",
    "",
    RUNS,
    "Trigger a job",
    query=SubmitQuery,
    body=JobIn,
    errors=(404, 409, 422),
    idempotent=True,
    example={"worker_id": _SOME_WORKER, "input": {"name": "Ada"}, "priority": 2},
)
async def create_job(request: Request) -> Reply[Data[JobOut]]:
    """Returns the stored job at once; with `wait`, when the job has ended."""
    wait = request.query(SUBMIT_QUERY).wait
    submission = submission_of(await request.body(CREATE_JOB), request)
    idempotency = await read_idempotency(request)
    jobs = request.services.jobs
    if wait > 0:
        job = await jobs.submit_and_wait(
            submission,
            idempotency,
            wait,
            on_accepted=request.release_body,
            is_over=lambda: request.is_gone,
        )
    else:
        job = await jobs.submit(submission, idempotency)
    return Reply(Data(job_out(job)), 201 if job.id == submission.id else 200)


@ROUTES.add(
    "POST",
    "/batch",
    RUNS,
    "Trigger many jobs",
    body=JobsIn,
    errors=(404, 409, 422),
    idempotent=True,
    example={"jobs": [{"worker_id": _SOME_WORKER, "input": {"name": "Ada"}}]},
)
async def create_jobs(request: Request) -> Reply[Data[list[JobOut]]]:
    """Submits all of the jobs, in this order, or none."""
    body = await request.body(CREATE_JOBS)
    submissions = await in_turns(body.jobs, lambda job: submission_of(job, request))
    idempotency = await read_idempotency(request)
    jobs = await request.services.jobs.submit_batch(request.tenant_id, submissions, idempotency)
    data = Data(await in_turns(jobs, job_out))
    return Reply(data, 201 if jobs[0].id == submissions[0].id else 200)


@ROUTES.add("GET", "/series", READS, "Count jobs over time", query=SeriesQuery, errors=(422,))
async def read_series(request: Request) -> Data[JobSeriesOut]:
    """Returns jobs by when they were created: a part of the period is a filter of the list."""
    query = request.query(READ_SERIES)
    which = await job_filter(query, request)
    since, until = series_period(which.created_after, which.created_before, request.services.clock())
    found = await request.services.job_views.series(
        request.tenant_id,
        which,
        since=since,
        until=until,
        parts=query.parts,
        by_worker=query.by is not UNSET,
    )
    return Data(series_out(found))


@ROUTES.add("GET", "/{job_id}", READS, "Get a job", errors=(404, 422))
async def get_job(request: Request) -> Data[JobOut]:
    """Poll until `status` is completed, failed or cancelled."""
    return Data(job_out(await request.services.jobs.get(request.tenant_id, _job_id(request))))


@ROUTES.add("POST", "/{job_id}/cancel", RUNS, "Cancel a job", status=200, errors=(404, 409, 422))
async def cancel_job(request: Request) -> Data[JobOut]:
    """Cancels a queued job at once; a running one receives SIGTERM, and later SIGKILL."""
    return Data(job_out(await request.services.jobs.cancel(request.caller, _job_id(request))))


@ROUTES.add("POST", "/{job_id}/retry", RUNS, "Retry a job", errors=(404, 409, 422))
async def retry_job(request: Request) -> Data[JobOut]:
    """Submits a new job with the same input, whose `retry_of` is the id of this one."""
    return Data(job_out(await request.services.jobs.retry(request.caller, _job_id(request))))


@ROUTES.add("GET", "/{job_id}/attempts", READS, "List the attempts of a job", errors=(404, 422))
async def list_attempts(request: Request) -> Data[list[AttemptOut]]:
    """Returns attempts oldest first."""
    attempts = await request.services.job_views.attempts(request.tenant_id, _job_id(request))
    return Data([to_out(AttemptOut, attempt) for attempt in attempts])


@ROUTES.add("GET", "/{job_id}/logs", READS, "View the log of a job", query=LogQuery, errors=(404, 422))
async def read_logs(request: Request) -> Data[JobLogsOut]:
    """Returns lines oldest first; `next_after` of one page is `after` of the next.

    With `tail`, the last lines; `next_before` is `before` of the page before them.
    """
    query = request.query(READ_LOGS)
    before = read_end(query)
    logs = await request.services.job_views.logs(
        request.tenant_id,
        _job_id(request),
        level=optional(query.level),
        limit=query.limit,
        after=optional(query.after),
        before=before,
        text=optional(query.q),
    )
    return Data(logs_out(logs, tail=before is not None))


@ROUTES.add(
    "GET",
    "/{job_id}/logs/stream",
    READS,
    "Follow the log of a job",
    query=LogStreamQuery,
    errors=(404, 422),
    produces=EVENT_STREAM,
)
async def stream_logs(request: Request) -> Response:
    """Server-sent events: `log` for each line (its `id` is the line's `seq`), `progress`, then `end`.

    `progress` is what the job's record has, sent first where there is any, and when the handler reports anew.
    A client that was cut off sends the last id as `Last-Event-ID` and misses nothing.
    """
    query = request.query(STREAM_LOGS)
    after = read_last_event(request.headers)
    request.edge.streams.check(request.tenant_id)
    parts = await request.services.job_views.tail(
        request.tenant_id,
        _job_id(request),
        level=optional(query.level),
        after=query.after if after is None else after,
        text=optional(query.q),
    )
    return EventStreamResponse(log_events(request, parts))


@ROUTES.add("GET", "/{job_id}/explain", READS, "Explain the state of a job", errors=(404, 422))
async def explain_job(request: Request) -> Data[ExplanationOut]:
    """Returns what state a job is in and why, for example why it is still queued, as text and as data."""
    return Data(
        explanation_out(await request.services.job_views.explain(request.tenant_id, _job_id(request)))
    )


def _job_id(request: Request) -> JobId:
    return JobId(known_id("job", "job", request.params["job_id"]))
