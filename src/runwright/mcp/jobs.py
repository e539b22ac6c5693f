"""Tools about jobs."""

from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from runwright.client.models.jobs import BulkInfo, JobInfo, LineInfo
from runwright.mcp.dry_run_tokens import DryRunTokenError
from runwright.mcp.field_selection import select_fields
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolOutput, ToolResult, cut, json_text, rows_that_fit
from runwright.mcp.tools import TOOLS, Parameters, ToolContext, ToolError
from runwright.mcp.windows import Cursor, PageParameters, list_page, position_in, text_part
from runwright.mcp.workers import Worker

JobId = Annotated[str, Meta(description="The id of a job, `job_…`.")]
Statuses = Annotated[str, Meta(description="One or several: `failed,cancelled`.")]
ErrorText = Annotated[str, Meta(description="Text in the error message.")]
Since = Annotated[str, Meta(description="Created then or later: RFC 3339, or relative, as `-24h`.")]

_LISTED: Final = (
    "id",
    "worker_id",
    "worker_name",
    "status",
    "trigger",
    "created_at",
    "completed_at",
    "duration_ms",
    "error",
    "retry_of",
    "retried_as",
)
_DETAILS: Final = (
    *_LISTED,
    "priority",
    "attempt",
    "max_retries",
    "worker_version",
    "scheduled_at",
    "started_at",
    "schedule_id",
    "cancel_requested_at",
    "progress",
)
_LONGEST_ERROR: Final = 3_000
_MOST_LINES: Final = 20_000
_LONGEST_LINE: Final = 2_000
_WAIT_SECONDS: Final = 50.0


class ListJobs(PageParameters, frozen=True, kw_only=True):
    """Which jobs."""

    worker: Worker | UnsetType = UNSET
    status: Statuses | UnsetType = UNSET
    error_code: str | UnsetType = UNSET
    schedule_id: str | UnsetType = UNSET
    q: ErrorText | UnsetType = UNSET
    since: Since | UnsetType = UNSET
    until: Annotated[str, Meta(description="Created then or earlier.")] | UnsetType = UNSET
    min_duration_ms: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


_SELECTION: Final = tuple(
    name for name in ListJobs.__struct_fields__ if name not in PageParameters.__struct_fields__
)


@TOOLS.add("List jobs")
async def list_jobs(context: ToolContext, parameters: ListJobs) -> ToolResult:
    """List jobs, newest first. Status is queued, running, completed, failed or cancelled."""
    which = parameters.given(*_SELECTION)
    return await list_page(
        "jobs",
        lambda rows: context.api.jobs.list(**which, payloads=False, per_page=rows),
        parameters,
        _LISTED,
    )


class GetJob(Parameters, frozen=True, kw_only=True):
    """Which job, and what of it."""

    job_id: JobId
    part: (
        Annotated[
            Literal["input", "output", "explanation"],
            Meta(
                description="Only this, as JSON text from `cursor` on; or why the job has its status:"
                " what it waits for, why it failed."
            ),
        ]
        | UnsetType
    ) = UNSET
    cursor: Cursor | UnsetType = UNSET


@TOOLS.add("Get a job")
async def get_job(context: ToolContext, parameters: GetJob) -> ToolResult:
    """Get a job with its input, output and error; long ones are cut, and read whole by `part`."""
    if parameters.part == "explanation":
        return await _explain(context, parameters.job_id)
    job = await context.api.jobs.get(parameters.job_id)
    if parameters.part is not UNSET:
        return _part_of(job, parameters.part, parameters.cursor)
    return ToolResult(f"Job {job.id} is {job.status}.", ToolOutput(data=_details(job)))


def _details(job: JobInfo) -> dict[str, Any]:
    details = select_fields(job, _DETAILS)
    if job.error is not None:
        details["error"] = select_fields(job.error, ("code", "message", "stack"), longest=_LONGEST_ERROR)
    return details | select_fields(job, ("input", "output"), longest=_LONGEST_ERROR)


async def _explain(context: ToolContext, job_id: str) -> ToolResult:
    found = await context.api.jobs.explain(job_id)
    return ToolResult(
        f"Job {found.job_id} is {found.status}.",
        ToolOutput(data=select_fields(found, ("status", "summary", "reasons"))),
    )


def _part_of(job: JobInfo, name: Literal["input", "output"], cursor: str | UnsetType) -> ToolResult:
    json = job.input_json if name == "input" else job.output_json
    part = text_part(bytes(json).decode(), cursor)
    output = ToolOutput(data={name: part.text}, next_cursor=part.next_cursor)
    return ToolResult(f"The {name} of job {job.id}, {part.place}.", output)


class GetLogs(Parameters, frozen=True, kw_only=True):
    """Which lines of which log."""

    job_id: JobId
    tail: Annotated[int, Meta(ge=1, le=1000, description="Only the last lines.")] | UnsetType = UNSET
    grep: (
        Annotated[
            str,
            Meta(
                max_length=200,
                description="Only lines with this plain text (no pattern) in their message, in any case.",
            ),
        ]
        | UnsetType
    ) = UNSET
    level: Literal["debug", "info", "warn", "error"] | UnsetType = UNSET
    cursor: Cursor | UnsetType = UNSET


@TOOLS.add("Get the log of a job")
async def get_logs(context: ToolContext, parameters: GetLogs) -> ToolResult:
    """Get what a job has logged, oldest first: [seq, time, level, message, fields]."""
    after = position_in(parameters.cursor)
    level = None if parameters.level is UNSET else parameters.level
    wanted = "" if parameters.grep is UNSET else parameters.grep.casefold()
    kept: deque[list[Any]] = deque(maxlen=None if parameters.tail is UNSET else parameters.tail)
    read, last, is_full = 0, after, False
    async for line in context.api.jobs.logs(parameters.job_id, level=level, after=after):
        read, last = read + 1, line.seq
        if wanted in line.msg.casefold():
            kept.append(_line(line))
            is_full = parameters.tail is UNSET and rows_that_fit(kept) < len(kept)
        if read >= _MOST_LINES or is_full:
            break
    return _lines_result(parameters, list(kept), unread_after=None if read < _MOST_LINES else last)


def _lines_result(parameters: GetLogs, lines: list[list[Any]], *, unread_after: int | None) -> ToolResult:
    fitting = rows_that_fit(lines)
    if parameters.tail is not UNSET:
        returned = _last_that_fit(lines)
        of = "the log" if unread_after is None else f"what was read; the log continues after {unread_after}"
        cursor = None if unread_after is None else str(unread_after)
        return ToolResult(
            f"The last {len(returned)} lines of {of}.", ToolOutput(data=returned, next_cursor=cursor)
        )
    returned = lines[:fitting]
    after = returned[-1][0] if fitting < len(lines) else unread_after
    cursor = None if after is None else str(after)
    return ToolResult(
        f"{len(returned)} lines of job {parameters.job_id}.",
        ToolOutput(data=returned, next_cursor=cursor),
    )


def _last_that_fit(lines: list[list[Any]]) -> list[list[Any]]:
    backwards = lines[::-1]
    return backwards[: rows_that_fit(backwards)][::-1] if backwards else []


def _line(line: LineInfo) -> list[Any]:
    start: list[Any] = [line.seq, line.ts, line.level, cut(line.msg, _LONGEST_LINE)]
    return [*start, cut(json_text(line.fields), _LONGEST_LINE)] if line.fields else start


class RunWorker(Parameters, frozen=True, kw_only=True):
    """What to run."""

    worker: Worker
    input: dict[str, Any] | UnsetType = UNSET
    wait: Annotated[float, Meta(ge=0, le=_WAIT_SECONDS, description="Seconds to wait for the result.")] = 30
    idempotency_key: (
        Annotated[str, Meta(max_length=200, description="A second call with it starts no second job.")]
        | UnsetType
    ) = UNSET


@TOOLS.add("Run a worker", Grant.RUN, destructive=True)
async def run_worker(context: ToolContext, parameters: RunWorker) -> ToolResult:
    """Run a worker with an input, and return its job when it has ended, or as it is after `wait` seconds."""
    given = {} if parameters.input is UNSET else parameters.input
    options = parameters.given("idempotency_key")
    job = await context.api.jobs.run(parameters.worker, given, wait=parameters.wait, **options)
    return ToolResult(f"Job {job.id} is {job.status}.", ToolOutput(data=_details(job)))


class ManyJobs(Parameters, frozen=True, kw_only=True):
    """Which jobs, or the token of a dry run."""

    worker: Worker | UnsetType = UNSET
    status: Statuses | UnsetType = UNSET
    error_code: str | UnsetType = UNSET
    schedule_id: str | UnsetType = UNSET
    q: ErrorText | UnsetType = UNSET
    since: Since | UnsetType = UNSET
    ids: Annotated[list[str], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    token: (
        Annotated[
            str, Meta(max_length=50_000, description="Of the dry run that has counted these jobs; alone.")
        ]
        | UnsetType
    ) = UNSET


_MANY: Final = ("worker", "status", "error_code", "schedule_id", "q", "since", "ids")


@TOOLS.add("Retry jobs", Grant.RUN, destructive=True)
async def retry_jobs(context: ToolContext, parameters: ManyJobs) -> ToolResult:
    """Repeat ended jobs (by default failed ones), none of them twice.

    Without `token` this is a dry run: it counts them and returns the token with which a second call does it.
    """
    return await _bulk(context, "retry", parameters)


@TOOLS.add("Cancel jobs", Grant.RUN, destructive=True)
async def cancel_jobs(context: ToolContext, parameters: ManyJobs) -> ToolResult:
    """Cancel queued and running jobs.

    Without `token` this is a dry run: it counts them and returns the token with which a second call does it.
    """
    return await _bulk(context, "cancel", parameters)


async def _bulk(context: ToolContext, action: Literal["retry", "cancel"], parameters: ManyJobs) -> ToolResult:
    which = parameters.given(*_MANY)
    if parameters.token is not UNSET:
        if which:
            raise ToolError("Give `token` alone: it names the jobs that the dry run has counted.")
        return await _act(context, action, parameters.token)
    if not which:
        raise ToolError("Say which jobs: a worker, a status, a time, or ids.")
    counted = await _operate(context, action, which, dry_run=True)
    token = context.dry_run_tokens.token(action, which | ({} if "ids" in which else {"until": _now()}))
    summary = f"A dry run: {counted.matched} jobs would be changed. Call again with the token to do it."
    return ToolResult(summary, ToolOutput(data={"matched": counted.matched, "dry_run": True}, token=token))


async def _operate(
    context: ToolContext, action: Literal["retry", "cancel"], which: dict[str, Any], *, dry_run: bool
) -> BulkInfo:
    operate = context.api.jobs.bulk_cancel if action == "cancel" else context.api.jobs.bulk_retry
    return await operate(dry_run=dry_run, **which)


async def _act(context: ToolContext, action: Literal["retry", "cancel"], token: str) -> ToolResult:
    try:
        which = context.dry_run_tokens.selection(action, token)
    except DryRunTokenError as error:
        raise ToolError(str(error)) from None
    started = await _operate(context, action, which, dry_run=False)
    ended = started if started.id is None else await context.api.jobs.bulk_wait(started.id, _WAIT_SECONDS)
    fields = ("id", "action", "status", "matched", "done", "failed", "skipped", "error")
    return ToolResult(
        f"{ended.done} of {ended.matched} jobs done; {ended.status}.",
        ToolOutput(data=select_fields(ended, fields)),
    )


def _now() -> str:
    """Return this moment, so that jobs which are created after a dry run are not changed."""
    return datetime.now(UTC).isoformat()
