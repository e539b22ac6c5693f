"""The values of bulk operations: what is done to which jobs, and how far it is."""

from datetime import datetime
from enum import StrEnum

import msgspec

from runwright.core.ids import OperationId
from runwright.job_views.model import JobFilter


class BulkAction(StrEnum):
    """What is done to each job."""

    CANCEL = "cancel"
    RETRY = "retry"


class RetryVersion(StrEnum):
    """Which version of its worker a retry runs."""

    LATEST = "latest"
    """The one that serves when it starts."""
    ORIGINAL = "original"
    """The one that the job ran which is retried."""


class BulkStatus(StrEnum):
    """The state of a bulk operation."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """The jobs that it had already reached stay as they are."""


class BulkOperation(msgspec.Struct, frozen=True, kw_only=True):
    """One bulk operation. `matched` = `done` + `failed` + `skipped` when it has completed."""

    id: OperationId
    tenant_id: str
    action: BulkAction
    selection: JobFilter
    version: RetryVersion = RetryVersion.LATEST
    status: BulkStatus
    matched: int
    """How many jobs the filter selected when the operation began."""
    done: int = 0
    failed: int = 0
    """Jobs that could not be retried: their worker takes no jobs, or their version cannot run."""
    skipped: int = 0
    """Jobs that had changed before the operation reached them, so that there was nothing to do."""
    error: str | None = None
    """Why the latest of the failed ones failed, or what the operation waits for."""
    created_by: str
    created_at: datetime
    due_at: datetime
    """When its next step may be taken; the operation that has been due longest is next."""
    completed_at: datetime | None = None
