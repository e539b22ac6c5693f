"""What requests about jobs may hold."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.core.job_state import JobStatus, Trigger
from runwright.core.roles import Caller
from runwright.http.ava.paging import PageQuery
from runwright.http.checks import Form, Problem, Problems
from runwright.http.messages import explain_mismatch
from runwright.http.nesting import DEPTH_LIMIT, nests_too_deeply
from runwright.http.text import plausible_id, plausible_time
from runwright.jobs.model import Idempotency, JobFilter
from runwright.jobs.store.submit import Submission, new_submission

IDEMPOTENCY: Final = b"idempotency-key"
LAST_EVENT_ID: Final = b"last-event-id"

_INPUT_LIMIT: Final = 1024 * 1024
_BATCH_LIMIT: Final = 1_000
_LARGEST_SEQ: Final = 2**53
_KEY: Final = re.compile(rb"[ -~]{1,255}")
_SEQ: Final = re.compile(rb"[0-9]{1,19}")
EMPTY_INPUT: Final = Raw(b"{}")
_INPUT: Final = msgspec.json.Decoder(dict[str, Any])

When = Annotated[datetime, Meta(tz=True)]
Input = Annotated[
    Raw,
    Meta(
        description="What the handler gets, at most 1 MiB of JSON and 64 levels deep.",
        extra_json_schema={"type": "object"},
    ),
]


class CreateJobBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A job to submit."""

    worker_id: Annotated[
        str, Meta(description="The worker to run.", extra_json_schema={"minLength": 1, "maxLength": 64})
    ]
    input: Input = field(default_factory=lambda: EMPTY_INPUT)
    trigger: Annotated[Trigger, Meta(description="What caused the job.")] = Trigger.MANUAL
    priority: Annotated[int, Meta(ge=1, le=10, description="1 (first) to 10 (last).")] = 5
    scheduled_at: Annotated[When, Meta(description="Not before this time; null or left out: now.")] | None = (
        None
    )


class CreateJobsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Jobs to submit together: all or none."""

    jobs: Annotated[list[CreateJobBody], Meta(min_length=1, max_length=_BATCH_LIMIT)]


class _RawJobs(msgspec.Struct, forbid_unknown_fields=True):
    jobs: Annotated[list[Raw], Meta(min_length=1, max_length=_BATCH_LIMIT)]


class SubmitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How to answer a submit."""

    wait: Annotated[
        float, Meta(ge=0, le=60, description="Answer when the job has ended, or after this many seconds.")
    ] = 0.0


class JobQuery(PageQuery, frozen=True, kw_only=True):
    """Which jobs to list."""

    worker_id: (
        Annotated[str, Meta(min_length=1, max_length=64, description="Only jobs of this worker.")] | UnsetType
    ) = field(default=UNSET, name="filter[worker_id]")
    status: Annotated[JobStatus, Meta(description="Only jobs in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )
    trigger: Annotated[Trigger, Meta(description="Only jobs with this cause.")] | UnsetType = field(
        default=UNSET, name="filter[trigger]"
    )
    created_after: Annotated[When, Meta(description="Created at this time or later.")] | UnsetType = field(
        default=UNSET, name="filter[created_after]"
    )
    created_before: Annotated[When, Meta(description="Created at this time or earlier.")] | UnsetType = field(
        default=UNSET, name="filter[created_before]"
    )


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of a log."""

    level: (
        Annotated[Literal["info", "warn", "error"], Meta(description="Only lines of this level.")] | UnsetType
    ) = field(default=UNSET, name="filter[level]")
    limit: Annotated[int, Meta(ge=1, le=500, description="Most lines to return.")] = 100
    after: (
        Annotated[int, Meta(ge=0, le=_LARGEST_SEQ, description="Only lines after the one with this `seq`.")]
        | UnsetType
    ) = UNSET


class LogStreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of a log to follow."""

    level: (
        Annotated[Literal["info", "warn", "error"], Meta(description="Only lines of this level.")] | UnsetType
    ) = field(default=UNSET, name="filter[level]")
    after: Annotated[
        int, Meta(ge=0, le=_LARGEST_SEQ, description="Only lines after the one with this `seq`.")
    ] = 0


class NoQuery(msgspec.Struct, frozen=True):
    """No parameters at all."""


def check_input(raw: Raw) -> Iterable[Problem]:
    text = bytes(raw)
    if len(text) > _INPUT_LIMIT:
        return (("", f"Must have at most {_INPUT_LIMIT} bytes as JSON."),)
    try:
        _INPUT.decode(text)
    except msgspec.ValidationError as error:
        return (explain_mismatch(str(error), dict),)
    if nests_too_deeply(text):
        return (("", f"Must not be nested more than {DEPTH_LIMIT} levels deep."),)
    return ()


_READ_ONLY: Final = dict.fromkeys(
    (
        *(
            "id",
            "tenant_id",
            "status",
            "triggered_by",
            "created_at",
            "started_at",
            "completed_at",
            "duration_ms",
        ),
        *("output", "error", "worker_version", "attempt", "max_retries", "cancel_requested_at", "retry_of"),
        "schedule_id",
    ),
    "Is read-only.",
)

CREATE_JOB: Final = Form(
    CreateJobBody,
    {"worker_id": plausible_id, "input": check_input, "scheduled_at": plausible_time},
    _READ_ONLY,
)
SUBMIT_QUERY: Final = Form(SubmitQuery)
LIST_JOBS: Final = Form(
    JobQuery,
    {"worker_id": plausible_id, "created_after": plausible_time, "created_before": plausible_time},
)
READ_LOGS: Final = Form(LogQuery)
STREAM_LOGS: Final = Form(LogStreamQuery)
NO_QUERY: Final = Form(NoQuery)
_RAW_JOBS: Final = Form(_RawJobs)


def read_jobs(body: bytes, caller: Caller, now: datetime) -> list[Submission]:
    """Return the jobs of a batch; problems are named by position, as in `jobs.3.input`."""
    problems = Problems()
    jobs = []
    for index, raw in enumerate(_RAW_JOBS.read_json(body).jobs):
        try:
            jobs.append(submission_of(CREATE_JOB.read_json(raw), caller, now))
        except InvalidError as error:
            for name, messages in error.fields.items():
                for message in messages:
                    problems.add(f"jobs.{index}" if name == "body" else f"jobs.{index}.{name}", message)
    problems.raise_if_any()
    return jobs


def submission_of(body: CreateJobBody, caller: Caller, now: datetime) -> Submission:
    return new_submission(
        tenant_id=caller.tenant_id,
        worker_id=body.worker_id,
        input=bytes(body.input),
        trigger=body.trigger,
        triggered_by=caller.user_id,
        now=now,
        priority=body.priority,
        scheduled_at=in_utc(body.scheduled_at),
    )


def read_idempotency(headers: Mapping[bytes, bytes], body: bytes) -> Idempotency | None:
    """Return the request's Idempotency-Key with a digest of what the (already checked) body means."""
    key = headers.get(IDEMPOTENCY)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidError({"Idempotency-Key": ["Must have 1 to 255 printable ASCII characters."]})
    canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return Idempotency(key.decode("ascii"), hashlib.sha256(canonical).digest())


def read_last_event(headers: Mapping[bytes, bytes]) -> int | None:
    """Return the `seq` after which a stream is to go on, where the client was cut off."""
    raw = headers.get(LAST_EVENT_ID, b"")
    if not raw:
        return None
    if not _SEQ.fullmatch(raw) or int(raw) > _LARGEST_SEQ:
        raise InvalidError({"Last-Event-ID": ["Is not the id of an event of this stream."]})
    return int(raw)


def job_filter(query: JobQuery) -> JobFilter:
    return JobFilter(
        worker_id=None if query.worker_id is UNSET else query.worker_id,
        status=None if query.status is UNSET else query.status,
        trigger=None if query.trigger is UNSET else query.trigger,
        created_after=None if query.created_after is UNSET else in_utc(query.created_after),
        created_before=None if query.created_before is UNSET else in_utc(query.created_before),
    )


def in_utc(at: datetime | None) -> datetime | None:
    """Return the time in UTC, cut to milliseconds as the wire shows it."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)
