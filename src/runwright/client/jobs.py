"""`rw.jobs`: run and watch jobs, one by one or many at once."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Literal, Unpack

import msgspec

from runwright.client.dual_mode import DualMode, Iteration, M, call
from runwright.client.models.base import decode_info
from runwright.client.models.jobs import (
    AttemptInfo,
    BulkInfo,
    ExplanationInfo,
    JobFilterOptions,
    JobInfo,
    JobListOptions,
    JobSeriesInfo,
    LineInfo,
    ProgressInfo,
    SubmitOptions,
)
from runwright.client.moments import renamed_times
from runwright.client.pagination import PAGE_ROWS, PageSource, Results, filters
from runwright.client.polling import deadline_in, poll_until
from runwright.client.session import new_idempotency_key, unexpected
from runwright.client.worker_names import worker_id

_LONGEST_WAIT: Final = 60.0
_LONGEST_PAUSE: Final = 5.0
_LONGEST_BULK_PAUSE: Final = 1.0
_LINES: Final = 500
_END: Final = "end"
_FOLLOWED: Final[Mapping[str, type[LineInfo | ProgressInfo]]] = {"log": LineInfo, "progress": ProgressInfo}
"""What the events of a log's stream are; others are passed over."""


class JobsApi(DualMode[M]):
    """The jobs of the tenant."""

    @call
    async def run(
        self,
        worker: str,
        input: Mapping[str, object] | None = None,
        *,
        wait: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> JobInfo:
        """Submit a job to a worker, by name or id, and return it when it has ended.

        After `wait` seconds it is returned as it is then; None: there is no limit. Whether it succeeded is in
        its `status`; `result()` returns the output or raises.
        """
        deadline = deadline_in(wait)
        first = _LONGEST_WAIT if wait is None else max(0.0, min(wait, _LONGEST_WAIT))
        job = await self._submit(worker, input, first, options)
        return await self._wait(job, deadline)

    @call
    async def submit(
        self, worker: str, input: Mapping[str, object] | None = None, **options: Unpack[SubmitOptions]
    ) -> JobInfo:
        """Submit a job to a worker, by name or id, and return it at once."""
        return await self._submit(worker, input, 0, options)

    @call
    async def submit_batch(
        self, worker: str, inputs: Iterable[Mapping[str, object]], **options: Unpack[SubmitOptions]
    ) -> list[JobInfo]:
        """Submit up to 1,000 jobs to a worker, all or none, and return them in the order of their inputs."""
        chosen = await worker_id(self._session, worker)
        key = options.pop("idempotency_key", None)
        jobs = [_body(chosen, each, options) for each in inputs]
        return await self._session.read_list(
            JobInfo, "POST /v1/ava/jobs/batch", json={"jobs": jobs}, headers=new_idempotency_key(key)
        )

    @call
    async def get(self, job_id: str) -> JobInfo:
        """Return a job."""
        return await self._get(job_id)

    @call
    async def wait(self, job_id: str, timeout: float | None = None) -> JobInfo:  # noqa: ASYNC109  no cancellation
        """Return a job when it has ended, or as it is after `timeout` seconds."""
        return await self._wait(await self._get(job_id), deadline_in(timeout))

    def list(self, **listing: Unpack[JobListOptions]) -> Results[M, JobInfo]:
        """Return jobs, newest first."""
        source = PageSource(into=JobInfo, route="GET /v1/ava/jobs", query=filters(renamed_times({**listing})))
        return Results(self._session, source)

    @call
    async def series(
        self, *, parts: int = 48, by_worker: bool = False, **which: Unpack[JobFilterOptions]
    ) -> JobSeriesInfo:
        """Return jobs by when they were created, of the last 24 hours unless a time is given."""
        chosen = (
            filters(renamed_times({**which})) | {"parts": parts} | ({"by": "worker"} if by_worker else {})
        )
        return await self._session.read(JobSeriesInfo, "GET /v1/ava/jobs/series", query=chosen)

    @call
    async def cancel(self, job_id: str) -> JobInfo:
        """Cancel a job: a queued one at once, a running one is asked to end."""
        return await self._session.read(JobInfo, "POST /v1/ava/jobs/{job_id}/cancel", job_id)

    @call
    async def retry(self, job_id: str) -> JobInfo:
        """Return a new job that repeats an ended one."""
        return await self._session.read(JobInfo, "POST /v1/ava/jobs/{job_id}/retry", job_id)

    @call
    async def attempts(self, job_id: str) -> Sequence[AttemptInfo]:
        """Return the attempts of a job, oldest first."""
        return await self._session.read_list(AttemptInfo, "GET /v1/ava/jobs/{job_id}/attempts", job_id)

    @call
    async def explain(self, job_id: str) -> ExplanationInfo:
        """Return where a job is, and why."""
        return await self._session.read(ExplanationInfo, "GET /v1/ava/jobs/{job_id}/explain", job_id)

    def logs(
        self, job_id: str, *, follow: bool = False, level: str | None = None, after: int = 0
    ) -> Iteration[M, LineInfo]:
        """Return the lines of a job's log, those after the `seq` given; `follow`: until the job has ended.

        A connection that is lost while it follows is opened again, and no line is missed or repeated.
        """
        produce = self._follow_log if follow else self._read_log
        return Iteration(self._session, lambda: produce(job_id, level, after))

    def follow(
        self, job_id: str, *, level: str | None = None, after: int = 0
    ) -> Iteration[M, LineInfo | ProgressInfo]:
        """Return the lines of a job's log, and the progress that it reports, until the job has ended."""
        return Iteration(self._session, lambda: self._follow(job_id, level, after))

    @call
    async def bulk_cancel(
        self,
        *,
        dry_run: bool = False,
        ids: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        **which: Unpack[JobFilterOptions],
    ) -> BulkInfo:
        """Cancel all jobs of a selection, or count them. The operation continues in the background."""
        return await self._start_bulk("cancel", which, ids, idempotency_key, dry_run=dry_run)

    @call
    async def bulk_retry(
        self,
        *,
        dry_run: bool = False,
        ids: Sequence[str] | None = None,
        version: Literal["latest", "original"] = "latest",
        idempotency_key: str | None = None,
        **which: Unpack[JobFilterOptions],
    ) -> BulkInfo:
        """Repeat all jobs of a selection, by default failed ones, or count them; none is repeated twice.

        They run the version that serves now, or the `original` one.
        """
        return await self._start_bulk("retry", which, ids, idempotency_key, dry_run=dry_run, version=version)

    @call
    async def bulk(self, operation_id: str) -> BulkInfo:
        """Return a bulk operation."""
        return await self._get_bulk(operation_id)

    @call
    async def bulk_wait(self, operation_id: str, timeout: float | None = None) -> BulkInfo:  # noqa: ASYNC109  as above
        """Return a bulk operation when it has ended, or as it is after `timeout` seconds."""
        deadline = deadline_in(timeout)
        return await poll_until(
            self._session,
            await self._get_bulk(operation_id),
            lambda: self._get_bulk(operation_id),
            ended=lambda operation: operation.ended,
            deadline=deadline,
            longest=_LONGEST_BULK_PAUSE,
        )

    def bulk_list(self) -> Results[M, BulkInfo]:
        """Return the bulk operations, newest first."""
        source = PageSource(into=BulkInfo, route="GET /v1/ava/jobs/bulk", query={"per_page": PAGE_ROWS})
        return Results(self._session, source)

    @call
    async def bulk_stop(self, operation_id: str) -> BulkInfo:
        """Stop a bulk operation; the jobs that it had reached stay as they are."""
        return await self._session.read(
            BulkInfo, "POST /v1/ava/jobs/bulk/{operation_id}/cancel", operation_id
        )

    async def _get(self, job_id: str) -> JobInfo:
        return await self._session.read(JobInfo, "GET /v1/ava/jobs/{job_id}", job_id)

    async def _get_bulk(self, operation_id: str) -> BulkInfo:
        return await self._session.read(BulkInfo, "GET /v1/ava/jobs/bulk/{operation_id}", operation_id)

    async def _submit(
        self, worker: str, input: Mapping[str, object] | None, wait: float, options: SubmitOptions
    ) -> JobInfo:
        chosen = await worker_id(self._session, worker)
        return await self._session.read(
            JobInfo,
            "POST /v1/ava/jobs",
            query={"wait": wait} if wait else None,
            json=_body(chosen, input, options),
            headers=new_idempotency_key(options.get("idempotency_key")),
            wait=wait,
        )

    async def _wait(self, job: JobInfo, deadline: float | None) -> JobInfo:
        return await poll_until(
            self._session,
            job,
            lambda: self._get(job.id),
            ended=lambda seen: seen.ended,
            deadline=deadline,
            longest=_LONGEST_PAUSE,
        )

    async def _start_bulk(
        self,
        action: str,
        which: JobFilterOptions,
        ids: Sequence[str] | None,
        key: str | None,
        **others: object,
    ) -> BulkInfo:
        body: dict[str, object] = {"action": action, **others}
        if ids is not None:
            body["ids"] = [*ids]
        if which or ids is None:
            body["filter"] = _filter(which)
        return await self._session.read(
            BulkInfo, "POST /v1/ava/jobs/bulk", json=body, headers=new_idempotency_key(key)
        )

    async def _read_log(self, job_id: str, level: str | None, after: int) -> AsyncGenerator[LineInfo, None]:
        following: int | None = after
        while following is not None:
            query = {"limit": _LINES, "after": following, "filter[level]": level}
            answer = await self._session.send("GET /v1/ava/jobs/{job_id}/logs", job_id, query=query)
            page = _log_page(answer.body)
            for row in page.logs:
                yield decode_info(LineInfo, row)
            following = page.next_after

    async def _follow_log(self, job_id: str, level: str | None, after: int) -> AsyncGenerator[LineInfo, None]:
        async with aclosing(self._follow(job_id, level, after)) as parts:
            async for part in parts:
                if isinstance(part, LineInfo):
                    yield part

    async def _follow(
        self, job_id: str, level: str | None, after: int
    ) -> AsyncGenerator[LineInfo | ProgressInfo, None]:
        events = self._session.follow(
            "GET /v1/ava/jobs/{job_id}/logs/stream", job_id, query={"after": after, "filter[level]": level}
        )
        async with aclosing(events):
            async for event in events:
                if event.event == _END:
                    return
                kind = _FOLLOWED.get(event.event)
                if kind is not None and event.data:
                    yield decode_info(kind, event.data.encode())


class _LogPage(msgspec.Struct, frozen=True):
    logs: list[msgspec.Raw]
    next_after: int | None = None


class _LogAnswer(msgspec.Struct, frozen=True):
    data: _LogPage


def _log_page(body: bytes) -> _LogPage:
    try:
        return msgspec.json.decode(body, type=_LogAnswer).data
    except msgspec.DecodeError:
        raise unexpected() from None


def _body(chosen: str, input: Mapping[str, object] | None, options: SubmitOptions) -> dict[str, object]:
    given = {name: value for name, value in options.items() if name != "idempotency_key"}
    return {"worker_id": chosen, "input": {} if input is None else input, **given}


def _filter(which: JobFilterOptions) -> dict[str, object]:
    """Return the filter of a bulk operation."""
    given = renamed_times({**which})
    status = given.get("status")
    return given | {"status": status.split(",")} if isinstance(status, str) else given
