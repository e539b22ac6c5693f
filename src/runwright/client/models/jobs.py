"""Jobs, their logs, and bulk operations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict

import msgspec

from runwright.client.errors import JobUnsuccessfulError
from runwright.client.models.base import Info
from runwright.client.moments import Moment

ENDED: Final = frozenset({"completed", "failed", "cancelled"})


class JobProblem(Info, frozen=True, kw_only=True):
    """Why an attempt did not complete."""

    code: str
    message: str
    stack: str | None = None


class ProgressInfo(Info, frozen=True, kw_only=True):
    """How far a job is, as its handler reported last: from 0 to 1, what it does, or both."""

    fraction: float | None = None
    message: str | None = None
    updated_at: datetime


_NULL: Final = msgspec.Raw(b"null")


class JobInfo(Info, frozen=True, kw_only=True):
    """A job."""

    id: str
    worker_id: str
    tenant_id: str
    status: str
    """`queued`, `running`, `completed`, `failed` or `cancelled`."""
    trigger: str
    priority: int
    input_json: msgspec.Raw = msgspec.field(name="input")
    """The input as the JSON that the server sent. `input` and `output` are parsed when they are read."""
    triggered_by: str
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    output_json: msgspec.Raw = msgspec.field(name="output", default=_NULL)
    error: JobProblem | None = None
    worker_version: int
    attempt: int
    max_retries: int
    scheduled_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    retry_of: str | None = None
    retried_as: str | None = None
    schedule_id: str | None = None
    worker_name: str | None = None
    parent_job_id: str | None = None
    """The job whose handler started it."""
    progress: ProgressInfo | None = None
    """How far its latest attempt is."""

    @property
    def input(self) -> dict[str, Any]:
        """What it was submitted with."""
        found: dict[str, Any] = self._parsed("input", self.input_json)
        return found

    @property
    def output(self) -> Any:  # noqa: ANN401  JSON
        """What its handler returned; None until then."""
        return self._parsed("output", self.output_json)

    def _parsed(self, name: str, json: msgspec.Raw) -> Any:  # noqa: ANN401  JSON
        if name not in self.__dict__:
            self.__dict__[name] = msgspec.json.decode(json)
        return self.__dict__[name]

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or cancelled, and never changes again."""
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it is completed."""
        return self.status == "completed"

    def result(self) -> Any:  # noqa: ANN401  JSON
        """Return the output of a completed job. JobUnsuccessfulError of any other."""
        if self.succeeded:
            return self.output
        reason = f": {self.error.message}" if self.error is not None else "."
        raise JobUnsuccessfulError(f"The job {self.id} is {self.status}{reason}", self)


class AttemptInfo(Info, frozen=True, kw_only=True):
    """One attempt of a job."""

    attempt: int
    status: str
    worker_version: int
    executor_id: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    error: JobProblem | None = None


class LineInfo(Info, frozen=True, kw_only=True):
    """One line of a job's log."""

    ts: datetime
    level: str
    msg: str
    seq: int
    attempt: int
    fields: dict[str, Any] = msgspec.field(default_factory=dict)


class ReasonInfo(Info, frozen=True, kw_only=True):
    """One reason why a job is where it is."""

    code: str
    message: str
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class SeriesPartInfo(Info, frozen=True, kw_only=True):
    """Jobs of a period by their present status, and how they went."""

    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    p50_run_ms: int | None = None
    p95_run_ms: int | None = None
    p99_run_ms: int | None = None
    p95_wait_ms: int | None = None


class SeriesInfo(Info, frozen=True, kw_only=True):
    """Jobs over time: each list has one number for each part of the period."""

    worker_id: str | None = None
    total: int
    queued: list[int]
    running: list[int]
    completed: list[int]
    failed: list[int]
    cancelled: list[int]
    p50_run_ms: list[int | None]
    p95_run_ms: list[int | None]
    p99_run_ms: list[int | None]
    p95_wait_ms: list[int | None]
    whole: SeriesPartInfo


class JobSeriesInfo(Info, frozen=True, kw_only=True):
    """Jobs by when they were created, in equal parts of a period."""

    from_: datetime = msgspec.field(name="from")
    to: datetime
    step_ms: int
    cut_at: datetime | None = None
    """Since when they are counted, where there were too many."""
    series: list[SeriesInfo]


class ExplanationInfo(Info, frozen=True, kw_only=True):
    """Why a job is where it is; `summary` is the first reason."""

    job_id: str
    status: str
    summary: str
    reasons: list[ReasonInfo]


class BulkInfo(Info, frozen=True, kw_only=True):
    """A bulk operation. Of a dry run `matched` is all that there is."""

    id: str | None = None
    action: str
    version: str | None = None
    """What a retry runs: `latest` or `original`."""
    status: str | None = None
    """`running`, then `completed` or `cancelled`."""
    matched: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    error: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED


class JobFilterOptions(TypedDict, total=False):
    """Which jobs: those for which everything given is true."""

    worker: str
    """The name or the id of their worker."""
    status: str | Sequence[str]
    trigger: str
    schedule_id: str
    error_code: str
    min_duration_ms: int
    worker_version: int
    retried: bool
    since: Moment
    until: Moment
    q: str
    """Text in the message of their error."""


class JobListOptions(JobFilterOptions, total=False):
    """Which jobs to list, and in which order."""

    sort: str
    payloads: bool
    per_page: int


class SubmitOptions(TypedDict, total=False):
    """How to submit a job."""

    priority: int
    scheduled_at: datetime
    trigger: str
    idempotency_key: str
