"""The routes of jobs. Submitting one is in `submit.py`."""

from typing import Final

from litestar import Controller, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import UNSET

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import READS, WRITES, AvaRequest, read_headers
from runwright.http.ava.job_forms import (
    LIST_JOBS,
    NO_QUERY,
    READ_LOGS,
    STREAM_LOGS,
    CreateJobBody,
    CreateJobsBody,
    JobQuery,
    LogQuery,
    LogStreamQuery,
    SubmitQuery,
    job_filter,
    read_idempotency,
    read_jobs,
    read_last_event,
)
from runwright.http.ava.log_stream import log_events
from runwright.http.ava.paging import read_page, show_page
from runwright.http.ava.shapes import attempt_wire, explanation_wire, job_wire, logs_wire
from runwright.http.ava.submit import submit_of
from runwright.http.ava.wire import AttemptWire, Data, ExplanationWire, JobLogsWire, JobWire, Page
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.http.streams import EVENT_STREAM, open_streams

_TAG: Final = "Jobs"


def _known(job_id: str) -> str:
    """Spare the store what cannot be an id."""
    if not is_id("job", job_id):
        raise NotFoundError("There is no such job.")
    return job_id


class JobRoutes(Controller):
    """Executions of workers."""

    path = "/jobs"

    @get("/", guards=[READS], opt=Operation("List jobs", tag=_TAG, query=JobQuery, errors=(422,)).opt)
    async def list_jobs(self, request: AvaRequest) -> Page[JobWire]:
        query = LIST_JOBS.read_query(request.scope["query_string"])
        page = read_page(query, "job")
        listing = await services_of(request).jobs.list(request.user.tenant_id, job_filter(query), page)
        return Page([job_wire(job) for job in listing.rows], show_page(listing, page))

    @post(
        "/",
        guards=[WRITES],
        opt=Operation(
            "Trigger a job",
            tag=_TAG,
            query=SubmitQuery,
            body=CreateJobBody,
            errors=(404, 409, 422),
            idempotent=True,
            example={"worker_id": "wkr_01jd9x3v7m0000000000000000", "input": {"name": "Ada"}, "priority": 2},
        ).opt,
    )
    async def create_job(self, request: AvaRequest) -> Response[Data[JobWire]]:
        """Answers with the stored record at once; with `wait`, when the job has ended."""
        headers = read_headers(request.scope)
        answer = await submit_of(request).answer(
            request.user, headers, request.scope["query_string"], request.receive
        )
        return Response(answer.body, status_code=answer.status, media_type="application/json")  # type: ignore[arg-type]

    @post(
        "/batch",
        guards=[WRITES],
        opt=Operation(
            "Trigger many jobs",
            tag=_TAG,
            body=CreateJobsBody,
            errors=(404, 409, 422),
            idempotent=True,
            example={"jobs": [{"worker_id": "wkr_01jd9x3v7m0000000000000000", "input": {"name": "Ada"}}]},
        ).opt,
    )
    async def create_jobs(self, request: AvaRequest) -> Response[Data[list[JobWire]]]:
        """All of the jobs are accepted, in this order, or none."""
        NO_QUERY.read_query(request.scope["query_string"])
        headers = read_headers(request.scope)
        body = await read_json_body(headers, request.receive, request.app.state.edge)
        services = services_of(request)
        submissions = read_jobs(body, request.user, services.clock())
        jobs = await services.jobs.submit_batch(
            request.user.tenant_id, submissions, read_idempotency(headers, body)
        )
        data = Data([job_wire(job) for job in jobs])
        return Response(data, status_code=201 if jobs[0].id == submissions[0].id else 200)

    @get("/{job_id:str}", guards=[READS], opt=Operation("Get a job", tag=_TAG, errors=(404, 422)).opt)
    async def get_job(self, request: AvaRequest, job_id: FromPath[str]) -> Data[JobWire]:
        """Poll until `status` is completed, failed or cancelled."""
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(job_wire(await services_of(request).jobs.get(request.user.tenant_id, _known(job_id))))

    @post(
        "/{job_id:str}/cancel",
        guards=[WRITES],
        status_code=200,
        opt=Operation("Cancel a job", tag=_TAG, errors=(404, 409, 422)).opt,
    )
    async def cancel_job(self, request: AvaRequest, job_id: FromPath[str]) -> Data[JobWire]:
        """A queued job is cancelled at once; a running one gets SIGTERM, and later SIGKILL."""
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(job_wire(await services_of(request).jobs.cancel(request.user, _known(job_id))))

    @post(
        "/{job_id:str}/retry",
        guards=[WRITES],
        opt=Operation("Run a job again", tag=_TAG, errors=(404, 409, 422)).opt,
    )
    async def retry_job(self, request: AvaRequest, job_id: FromPath[str]) -> Data[JobWire]:
        """Makes a new job with the same input, which names the old one in `retry_of`."""
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(job_wire(await services_of(request).jobs.retry(request.user, _known(job_id))))

    @get(
        "/{job_id:str}/attempts",
        guards=[READS],
        opt=Operation("List the attempts of a job", tag=_TAG, errors=(404, 422)).opt,
    )
    async def list_attempts(self, request: AvaRequest, job_id: FromPath[str]) -> Data[list[AttemptWire]]:
        """Oldest first."""
        NO_QUERY.read_query(request.scope["query_string"])
        attempts = await services_of(request).jobs.attempts(request.user.tenant_id, _known(job_id))
        return Data([attempt_wire(attempt) for attempt in attempts])

    @get(
        "/{job_id:str}/logs",
        guards=[READS],
        opt=Operation("View the log of a job", tag=_TAG, query=LogQuery, errors=(404, 422)).opt,
    )
    async def read_logs(self, request: AvaRequest, job_id: FromPath[str]) -> Data[JobLogsWire]:
        """Oldest first; `next_after` of one page is `after` of the next."""
        query = READ_LOGS.read_query(request.scope["query_string"])
        logs = await services_of(request).jobs.logs(
            request.user.tenant_id,
            _known(job_id),
            level=None if query.level is UNSET else query.level,
            limit=query.limit,
            after=None if query.after is UNSET else query.after,
        )
        return Data(logs_wire(logs))

    @get(
        "/{job_id:str}/logs/stream",
        guards=[READS],
        opt=Operation(
            "CompletionCallback the log of a job",
            tag=_TAG,
            query=LogStreamQuery,
            errors=(404, 422),
            produces=EVENT_STREAM,
        ).opt,
    )
    async def stream_logs(self, request: AvaRequest, job_id: FromPath[str]) -> Stream:
        """Server-sent events: `log` for each line (its `id` is the line's `seq`), then `end`.

        A client that was cut off sends the last id as `Last-Event-ID` and misses nothing.
        """
        query = STREAM_LOGS.read_query(request.scope["query_string"])
        after = read_last_event(read_headers(request.scope))
        streams = open_streams(request)
        streams.check(request.user.tenant_id)
        parts = await services_of(request).jobs.tail(
            request.user.tenant_id,
            _known(job_id),
            level=None if query.level is UNSET else query.level,
            after=query.after if after is None else after,
        )
        events = log_events(parts, streams, request.user.tenant_id)
        return Stream(events, media_type=EVENT_STREAM)

    @get(
        "/{job_id:str}/explain",
        guards=[READS],
        opt=Operation("Explain where a job is", tag=_TAG, errors=(404, 422)).opt,
    )
    async def explain_job(self, request: AvaRequest, job_id: FromPath[str]) -> Data[ExplanationWire]:
        """Why it is still queued, say, in words and for machines."""
        NO_QUERY.read_query(request.scope["query_string"])
        why = await services_of(request).jobs.explain(request.user.tenant_id, _known(job_id))
        return Data(explanation_wire(why))
