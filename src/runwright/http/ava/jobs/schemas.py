"""The schemas of jobs, their attempts and logs."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta, Raw, field

from runwright.core.errors import InvalidError, UnavailableError
from runwright.core.job_state import JobStatus, Trigger
from runwright.core.json_depth import DEPTH_LIMIT, nests_too_deeply
from runwright.core.json_text import is_json
from runwright.core.paging import PageRequest
from runwright.http.ava.envelopes import (
    AnyJson,
    JsonObject,
    Pagination,
    Time,
    When,
    in_utc,
    page_of,
    read_only,
)
from runwright.http.fields import (
    format_optional_time,
    format_time,
    plausible_id,
    plausible_time,
    to_out,
)
from runwright.http.request import Request
from runwright.http.validation import Problem, Problems, Validator
from runwright.http.validation_messages import explain_mismatch
from runwright.job_views.model import Explanation
from runwright.job_views.store.listing import JobListing
from runwright.jobs.model import Job, JobError, JobProgress
from runwright.jobs.store.submit import UNCHECKED, Submission, new_submission
from runwright.offload.client import OffloadError
from runwright.offload.functions import canonical_digest
from runwright.tenants.idempotency import Idempotency

_IDEMPOTENCY: Final = b"idempotency-key"

_INPUT_LIMIT: Final = 1024 * 1024
_BATCH_LIMIT: Final = 1_000
_SMALL_BODY_BYTES: Final = 32 * 1024
_KEY: Final = re.compile(rb"[ -~]{1,255}")
EMPTY_INPUT: Final = Raw(b"{}")
_INPUT: Final = msgspec.json.Decoder(dict[str, Any])

Input = Annotated[
    Raw,
    Meta(
        description="The input of the handler, at most 1 MiB of JSON and 64 levels deep.",
        extra_json_schema={"type": "object"},
    ),
]


class JobIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A job to submit."""

    openapi_name: ClassVar[str] = "CreateJobBody"

    worker_id: Annotated[
        str, Meta(description="The worker to run.", extra_json_schema={"minLength": 1, "maxLength": 64})
    ]
    input: Input = field(default_factory=lambda: EMPTY_INPUT)
    trigger: Annotated[Trigger, Meta(description="What caused the job.")] = Trigger.MANUAL
    priority: Annotated[int, Meta(ge=1, le=10, description="1 (first) to 10 (last).")] = 5
    scheduled_at: (
        Annotated[When, Meta(description="The earliest time to start; null or left out: now.")] | None
    ) = None


class JobsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Jobs to submit together: all or none."""

    openapi_name: ClassVar[str] = "CreateJobsBody"

    jobs: Annotated[list[JobIn], Meta(min_length=1, max_length=_BATCH_LIMIT)]


class _RawJobs(msgspec.Struct, forbid_unknown_fields=True):
    jobs: Annotated[list[Raw], Meta(min_length=1, max_length=_BATCH_LIMIT)]


class SubmitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a submit."""

    wait: Annotated[
        float, Meta(ge=0, le=60, description="Wait for the end of the job, for up to this many seconds.")
    ] = 0.0


class ProgressOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is."""

    openapi_name: ClassVar[str] = "JobProgress"

    fraction: Annotated[float | None, Meta(description="From 0 to 1.")]
    message: Annotated[str | None, Meta(description="What it does.")]
    updated_at: Time


class JobRecordOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job, without the fields that may change after its end: the data of its events."""

    id: Annotated[str, Meta(description="`job_` and a lower-case ULID.")]
    worker_id: str
    tenant_id: str
    status: Annotated[
        JobStatus, Meta(description="Ends as completed, failed or cancelled, and never changes after.")
    ]
    trigger: Annotated[Trigger, Meta(description="What caused the job.")]
    priority: Annotated[int, Meta(description="1 (first) to 10 (last).")]
    input: JsonObject
    triggered_by: Annotated[str, Meta(description="The user or the key that submitted it.")]
    created_at: Time
    started_at: Annotated[Time | None, Meta(description="When the latest attempt began.")]
    completed_at: Annotated[Time | None, Meta(description="When the job ended.")]
    duration_ms: Annotated[
        int | None, Meta(description="From `started_at` to `completed_at` of the last attempt.")
    ]
    output: AnyJson
    error: Annotated[JobError | None, Meta(description="Why it failed or was cancelled.")]
    worker_version: Annotated[int, Meta(description="The version that ran, or would run now.")]
    attempt: Annotated[int, Meta(description="The number of the latest attempt, from 1.")]
    max_retries: Annotated[int, Meta(description="The number of automatic retries.")]
    scheduled_at: Annotated[Time | None, Meta(description="The earliest time to start.")]
    cancel_requested_at: Annotated[
        Time | None, Meta(description="When the cancel of a running job was requested.")
    ]
    retry_of: Annotated[str | None, Meta(description="The job of which this is a retry.")]
    schedule_id: Annotated[str | None, Meta(description="The schedule that submitted it.")]
    parent_job_id: Annotated[str | None, Meta(description="The job whose handler started it.")]
    progress: Annotated[
        ProgressOut | None, Meta(description="How far the latest attempt is, as its handler reported last.")
    ]


class JobOut(JobRecordOut, frozen=True, kw_only=True):
    """A job."""

    worker_name: Annotated[str | None, Meta(description="The current name of its worker.")]
    retried_as: Annotated[str | None, Meta(description="The latest retry of this job that was requested.")]


class JobPagination(Pagination, frozen=True, kw_only=True):
    """The position of a page in the list of jobs."""

    cut: Annotated[
        bool,
        Meta(
            description="Only 10,000 of the jobs that the other filters leave were searched or sorted, and "
            "`total` counts in these; of a search, `next_cursor` continues with the rest."
        ),
    ]


class JobPage(msgspec.Struct, frozen=True):
    """A list of jobs, by default newest first."""

    data: list[JobOut]
    pagination: JobPagination


class AttemptOut(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job."""

    attempt: Annotated[int, Meta(description="From 1.")]
    status: Annotated[str, Meta(description="How it ended, or `running`.")]
    worker_version: int
    executor_id: Annotated[str | None, Meta(description="The executor that ran it.")]
    claimed_at: Annotated[
        Time | None,
        Meta(description="When the executor took it; until `started_at` a sandbox was made ready for it."),
    ]
    started_at: Time | None
    completed_at: Time | None
    duration_ms: int | None
    error: Annotated[JobError | None, Meta(description="Why it did not complete.")]


class ReasonOut(msgspec.Struct, frozen=True):
    """A reason, for programs (`code`) and for people (`message`)."""

    code: str
    message: str
    details: dict[str, Any]


class ExplanationOut(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a job, and why it is in it."""

    job_id: str
    status: JobStatus
    summary: str
    reasons: list[ReasonOut]


def _mismatch(text: bytes) -> Problem | None:
    """Return why JSON is no input; of a large one no objects are made, which would take long."""
    if len(text) > _SMALL_BODY_BYTES and text.startswith(b"{"):
        text.decode()
        return None if is_json(text) else ("", "Holds a number that is out of range.")
    try:
        _INPUT.decode(text)
    except msgspec.ValidationError as error:
        return explain_mismatch(str(error), dict)
    return None


def check_input(raw: Raw) -> Iterable[Problem]:
    text = bytes(raw)
    if len(text) > _INPUT_LIMIT:
        return (("", f"Must have at most {_INPUT_LIMIT} bytes as JSON."),)
    problem = _mismatch(text)
    if problem is not None:
        return (problem,)
    if nests_too_deeply(text):
        return (("", f"Must not be nested more than {DEPTH_LIMIT} levels deep."),)
    return ()


_READ_ONLY: Final = read_only(JobIn, JobOut)

CREATE_JOB: Final = Validator(
    JobIn,
    {"worker_id": plausible_id, "input": check_input, "scheduled_at": plausible_time},
    _READ_ONLY,
)
SUBMIT_QUERY: Final = Validator(SubmitQuery)
_RAW_JOBS: Final = Validator(_RawJobs)


class _BatchValidator(Validator[JobsIn]):
    """Names problems by the position of the job, as in `jobs.3.input`."""

    def from_json(self, body: bytes | Raw) -> JobsIn:
        problems = Problems()
        jobs = []
        for index, raw in enumerate(_RAW_JOBS.from_json(body).jobs):
            try:
                jobs.append(CREATE_JOB.from_json(raw))
            except InvalidError as error:
                for name, messages in error.fields.items():
                    for message in messages:
                        problems.add(f"jobs.{index}" if name == "body" else f"jobs.{index}.{name}", message)
        problems.raise_if_any()
        return JobsIn(jobs)


CREATE_JOBS: Final = _BatchValidator(JobsIn)


def submission_of(job: JobIn, request: Request) -> Submission:
    return new_submission(
        tenant_id=request.tenant_id,
        worker_id=job.worker_id,
        input=bytes(job.input),
        trigger=job.trigger,
        triggered_by=request.caller.user_id,
        now=request.services.clock(),
        priority=job.priority,
        scheduled_at=in_utc(job.scheduled_at),
        schema_revision=UNCHECKED,
    )


async def read_idempotency(request: Request) -> Idempotency | None:
    """Return the Idempotency-Key of a request and a digest of its valid body; None without a key.

    UnavailableError where the digest of a large body cannot be computed now.
    """
    key = read_idempotency_key(request.headers)
    return None if key is None else Idempotency(key, await _digest(request))


def idempotency_of(request: Request, subject: str) -> Idempotency | None:
    """Return the Idempotency-Key of a request whose meaning is `subject` and not its body alone."""
    key = read_idempotency_key(request.headers)
    return None if key is None else Idempotency(key, hashlib.sha256(subject.encode()).digest())


def read_idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the Idempotency-Key of a request; None without one."""
    key = headers.get(_IDEMPOTENCY)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidError({"Idempotency-Key": ["Must have 1 to 255 printable ASCII characters."]})
    return key.decode("ascii")


async def _digest(request: Request) -> bytes:
    """Return a digest of the valid body; that of a large one is computed off the event loop."""
    if len(request.raw_body) <= _SMALL_BODY_BYTES:
        return canonical_digest(request.raw_body)
    try:
        return await request.services.offload.call(request.tenant_id, "digest", request.raw_body)
    except OffloadError as error:
        raise UnavailableError(f"The request cannot be compared with its repetitions: {error}.") from None


def job_page(listing: JobListing, page: PageRequest) -> JobPage:
    plain = page_of(listing, page, job_out)
    return JobPage(plain.data, to_out(JobPagination, plain.pagination, cut=listing.cut))


def job_record_out(job: Job) -> JobRecordOut:
    return to_out(JobRecordOut, job, progress=_progress_out(job.progress))


def job_out(job: Job) -> JobOut:
    """Return a job as the API shows it; written out, as every submit makes one."""
    return JobOut(
        id=job.id,
        worker_id=job.worker_id,
        tenant_id=job.tenant_id,
        status=job.status,
        trigger=job.trigger,
        priority=job.priority,
        input=job.input,
        triggered_by=job.triggered_by,
        created_at=format_time(job.created_at),
        started_at=format_optional_time(job.started_at),
        completed_at=format_optional_time(job.completed_at),
        duration_ms=job.duration_ms,
        output=job.output,
        error=job.error,
        worker_version=job.worker_version,
        attempt=job.attempt,
        max_retries=job.max_retries,
        scheduled_at=format_optional_time(job.scheduled_at),
        cancel_requested_at=format_optional_time(job.cancel_requested_at),
        retry_of=job.retry_of,
        schedule_id=job.schedule_id,
        parent_job_id=job.parent_job_id,
        progress=_progress_out(job.progress),
        worker_name=job.worker_name,
        retried_as=job.retried_as,
    )


def _progress_out(progress: JobProgress | None) -> ProgressOut | None:
    return None if progress is None else to_out(ProgressOut, progress)


def explanation_out(why: Explanation) -> ExplanationOut:
    return to_out(ExplanationOut, why, reasons=[to_out(ReasonOut, reason) for reason in why.reasons])
