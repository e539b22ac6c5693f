"""The state machine of a job: states, transitions, error codes.

```
            claim               finish
  queued ─────────▶ running ─────────────▶ completed | failed | cancelled
    ▲  │               │
    │  └─ cancel ──▶ cancelled
    └──── retry, hand back, rescue ───┘
```

Terminal states never change. Every write is a compare-and-set in SQL on the expected state
(jobs/store); those statements are tested against this table.
"""

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """The state of a job, as in the API."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class QueueState(StrEnum):
    """Where a live job is in the queue; jobs that are waiting or ready have the status queued."""

    WAITING = "waiting"
    """Not to be claimed before its time."""
    READY = "ready"
    RUNNING = "running"


class Trigger(StrEnum):
    """What caused a job."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    WEBHOOK = "webhook"
    EVENT = "event"


class ErrorCode(StrEnum):
    """Why an attempt did not complete."""

    HANDLER_ERROR = "handler_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    MISSING_SECRET = "missing_secret"  # noqa: S105  a code, not a secret
    LOAD_ERROR = "load_error"
    OUTPUT_TOO_LARGE = "output_too_large"
    EXECUTOR_LOST = "executor_lost"


LIVE: Final = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
TERMINAL: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

TRANSITIONS: Final = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: TERMINAL | {JobStatus.QUEUED},
    JobStatus.COMPLETED: frozenset[JobStatus](),
    JobStatus.FAILED: frozenset[JobStatus](),
    JobStatus.CANCELLED: frozenset[JobStatus](),
}

NO_RETRY: Final = frozenset({ErrorCode.CANCELLED, ErrorCode.MISSING_SECRET})
"""Errors that are not retried."""
