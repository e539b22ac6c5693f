"""What callers select of jobs, and what they get: filters, orders, attempts, log lines, reasons."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from runwright.core.job_state import ErrorCode, JobStatus, Trigger
from runwright.jobs.model import NULL, JobError


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to select; `created_*` bounds are inclusive. What is None selects all."""

    ids: frozenset[str] | None = None
    worker_id: str | None = None
    statuses: frozenset[JobStatus] | None = None
    trigger: Trigger | None = None
    schedule_id: str | None = None
    parent_job_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    error_code: ErrorCode | None = None
    """Only ended jobs have one, as the next two."""
    error_contains: str | None = None
    """Text in the message of the error, in either case."""
    min_duration_ms: int | None = None
    worker_version: int | None = None
    """The version that a job ran, or that its worker had when it was submitted."""
    retried: bool | None = None
    """Whether the job was retried by a request."""


class JobSort(StrEnum):
    """The orders of a list of jobs; with a minus sign descending. Jobs that have no such value come last."""

    NEWEST = "-created"
    OLDEST = "created"
    LATEST_START = "-started"
    EARLIEST_START = "started"
    LONGEST = "-duration"
    SHORTEST = "duration"

    @property
    def ascending(self) -> bool:
        return not self.startswith("-")

    @property
    def by_start(self) -> bool:
        return self.endswith("started")

    @property
    def by_duration(self) -> bool:
        return self.endswith("duration")

    @property
    def by_value(self) -> bool:
        """Whether jobs are sorted by a number and not by their ids, which are in the order of creation."""
        return self.by_start or self.by_duration

    @property
    def order(self) -> str:
        """The direction in SQL."""
        return "ASC" if self.ascending else "DESC"

    @property
    def beyond(self) -> str:
        """The SQL operator of what follows in this order."""
        return ">" if self.ascending else "<"


class JobAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job, ended or running."""

    attempt: int
    status: JobStatus
    worker_version: int
    executor_id: str | None
    claimed_at: datetime | None
    """When the executor took it, before its sandbox was ready; None where that was not recorded."""
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    error: JobError | None


class LogLine(msgspec.Struct, frozen=True):
    """One line of a job's log; `seq` increases within the job and is the cursor of `after=`."""

    seq: int
    ts: datetime
    level: str
    msg: str
    attempt: int
    fields: msgspec.Raw = NULL
    """JSON of an object, where the line has fields."""


class JobLogs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a job's log, oldest first."""

    job_id: str
    job_status: JobStatus
    logs: list[LogLine]
    next_after: int | None
    next_before: int | None = None
    """Of a page that was read from the end: `before` of the one before it."""
    read_to: int = 0
    """The number of the last line that was looked at, where they were read from the beginning."""


class SeriesPart(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that were created in a part of a period, by their present status, and how they went."""

    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    p50_run_ms: int | None = None
    p95_run_ms: int | None = None
    p99_run_ms: int | None = None
    p95_wait_ms: int | None = None
    """From when a job was due until its first attempt began."""


class SeriesRow(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a period, oldest first; `worker_id` is None where all workers are counted together."""

    worker_id: str | None
    whole: SeriesPart
    parts: list[SeriesPart]


class JobSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs over time. `cut_at`: since when they are counted, where there were too many."""

    since: datetime
    until: datetime
    step_ms: int
    cut_at: datetime | None
    rows: list[SeriesRow]


class Reason(msgspec.Struct, frozen=True):
    """One reason for a job's status, for machines (`code`) and people (`message`)."""

    code: str
    message: str
    details: dict[str, Any] = {}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job has its status; `summary` is the first reason's message."""

    job_id: str
    status: JobStatus
    summary: str
    reasons: list[Reason]
