"""Executors: the attempts that they run, and their leases."""

from runwright.core.job_state import JobStatus
from runwright.telemetry.emit import TelemetryEvent, TimedEvent, WarningEvent


class JobAttemptEnded(TimedEvent, frozen=True):
    """An attempt ended here and was recorded."""

    logged = False
    status: JobStatus
    """The job's status after the attempt."""
    wait_seconds: float | None = None
    """How long the attempt had been due when user code began; None where it never began."""


class HandlerCallFailed(WarningEvent, frozen=True):
    """A call of a handler (state, an event, a job) failed for a reason that is not the caller's."""

    call: str
    error: str


class JobHandedBack(TelemetryEvent, frozen=True):
    """A claimed job that had not started was returned to its queue."""

    logged = False
    job_id: str


class JobResultRefused(WarningEvent, frozen=True):
    """A result was discarded because its fence was stale: another executor owns the job now."""

    job_id: str
    attempt: int


class JobRecordFailed(WarningEvent, frozen=True):
    """A result, a hand-back or a chunk of log lines could not be written."""

    error: str


class JobRecordsAbandoned(WarningEvent, frozen=True):
    """The executor stopped before all results could be written; the reaper requeues their jobs."""

    jobs: int


class StrayClaimHandedBack(TelemetryEvent, frozen=True):
    """A job was claimed by a statement whose answer was lost; it was returned to its queue."""

    job_id: str


class WorkerNotLoaded(WarningEvent, frozen=True):
    """The definition of a job's worker could not be read; the job was returned to its queue."""

    job_id: str
    error: str


class AttemptNotPrepared(WarningEvent, frozen=True):
    """Secrets or files of an attempt could not be read; the job was returned to its queue."""

    job_id: str
    error: str


class SecretNotOpened(WarningEvent, frozen=True):
    """A secret could not be decrypted; the attempt failed."""

    worker_id: str
    error: str


class VersionUnreadable(WarningEvent, frozen=True):
    """The stored files of a version are missing or damaged."""

    worker_id: str
    error: str


class LayerForOtherPlatform(WarningEvent, frozen=True):
    """Dependencies were installed for an interpreter that this host lacks; they are installed again."""

    platform: str


class CacheFoldersRemoved(TelemetryEvent, frozen=True):
    """Folders were evicted to keep the cache within its size."""

    folders: int


class LeaseNotRenewed(WarningEvent, frozen=True):
    """A heartbeat failed; the lease is still held until it expires."""

    error: str


class EventLoopUnresponsive(WarningEvent, frozen=True):
    """The main event loop has not run for this long; the executor's lease is no longer renewed."""

    seconds: float


class ExecutorLeaseLost(WarningEvent, frozen=True):
    """The lease expired; all running jobs were killed, and the executor registers again."""

    executor_id: str
    jobs: int


class ExecutorDrainTimedOut(WarningEvent, frozen=True):
    """The drain period ended before all jobs did; they were killed."""

    jobs: int


class ExecutorNotRemoved(WarningEvent, frozen=True):
    """The executor could not end its lease when it stopped; the lease expires later."""

    error: str
