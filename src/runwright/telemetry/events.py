"""The catalogue of telemetry events, by subject."""

from typing import Literal

from runwright.core.job_state import JobStatus
from runwright.telemetry.emit import ErrorEvent, Level, TelemetryEvent, TimedEvent, WarningEvent


# --- server ----------------------------------------------------------------------------
class HostProbed(TimedEvent, frozen=True):
    """The capabilities of the host were determined."""

    isolation: str
    missing: str


class ServerStopping(TelemetryEvent, frozen=True):
    """A signal asked the server to stop."""


class RequestFailed(ErrorEvent, frozen=True):
    """A request failed for a reason that no client can mend; it was answered with 500, or with 503."""

    request_id: str


class LoopPassFailed(WarningEvent, frozen=True):
    """A pass of a background loop raised; the loop continues."""

    loop: str
    error: str


class ItemSetAside(WarningEvent, frozen=True):
    """An item made its batch fail and is tried again later; the others of the batch were processed."""

    loop: str
    id: str
    error: str


class RowsPruned(TimedEvent, frozen=True):
    """Rows whose retention period was over were deleted."""

    kind: str
    count: int


# --- database --------------------------------------------------------------------------


class DatabaseAway(WarningEvent, frozen=True):
    """The database does not answer: its connections were dropped."""

    reason: str
    dropped: int


class DatabaseBack(WarningEvent, frozen=True):
    """The database answers again."""


class ListenerDisconnected(WarningEvent, frozen=True):
    """The connection that brings notifications ended; it is opened again, and the loops poll meanwhile."""

    error: str


class PostgresLeftoversKilled(WarningEvent, frozen=True):
    """Processes of an embedded server that had ended did not end themselves."""


class PostgresLost(WarningEvent, frozen=True):
    """The embedded server ended without being asked; it is started again."""

    server_pid: int


class PostgresRestored(WarningEvent, frozen=True):
    """The embedded server runs again."""

    server_pid: int


class PostgresRestartFailed(WarningEvent, frozen=True):
    """The embedded server could not be started again; the next try follows."""

    error: str


# --- executor --------------------------------------------------------------------------
class JobAttemptEnded(TimedEvent, frozen=True):
    """An attempt ended here and was recorded."""

    logged = False
    status: JobStatus
    """The job's status after the attempt."""


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


class RescuePostponed(WarningEvent, frozen=True):
    """The database was away, so expired leases prove nothing; executors get time to report."""

    away_seconds: float


class JobsRescued(WarningEvent, frozen=True):
    """Jobs of executors whose lease had expired were requeued, or ended where no attempt was left."""

    requeued: int
    ended: int


class JobsOfDeprecatedWorkersCancelled(TelemetryEvent, frozen=True):
    """Waiting jobs of deprecated workers were cancelled."""

    jobs: int


class CompletionsDispatched(TimedEvent, frozen=True):
    """Completion callbacks of ended jobs or executions were run."""

    logged = False
    count: int


class CompletionCallbackFailed(WarningEvent, frozen=True):
    """A completion callback raised; it is retried later."""

    kind: str
    error: str


# --- builds ----------------------------------------------------------------------------
class BuildEvent(TimedEvent, frozen=True):
    """What happened to one try of a build."""

    worker_id: str
    version: int
    attempt: int


class BuildReady(BuildEvent, frozen=True):
    """The dependencies of a version are available."""

    installed: bool
    """False where an existing layer was used again."""


class BuildFailed(BuildEvent, frozen=True):
    """The dependencies of a version could not be installed; the version failed."""


class BuildInterrupted(BuildEvent, frozen=True):
    """The host failed during a build."""

    level = Level.WARNING
    error: str


class BuildLost(WarningEvent, frozen=True):
    """The lease of a build expired; another builder owns it."""

    worker_id: str
    version: int


class BuildNotRenewed(WarningEvent, frozen=True):
    """The lease of a build could not be renewed; it is still held until it expires."""

    error: str


class BuildNotRecorded(WarningEvent, frozen=True):
    """The result of a build could not be written; the build is tried again."""

    error: str


# --- schedules -------------------------------------------------------------------------
class TicksProcessed(TimedEvent, frozen=True):
    """A batch of due ticks was fired, skipped or marked as missed."""

    logged = False
    schedules: int
    fired: int
    skipped: int
    missed: int
    lateness_seconds: float
    """How late the latest tick of the batch was."""


class TicksMissed(WarningEvent, frozen=True):
    """Ticks were too late to be fired."""

    ticks: int


class TickBatchFailed(WarningEvent, frozen=True):
    """A batch of ticks could not be fired together; they are fired one by one."""

    error: str


class ScheduleNotFired(WarningEvent, frozen=True):
    """A schedule could not be fired; it is tried again."""

    schedule_id: str
    error: str


class SchedulesStopped(WarningEvent, frozen=True):
    """Schedules were stopped because they can never fire again."""

    schedules: int


class SchedulesMovedToNewerZoneRules(TelemetryEvent, frozen=True):
    """The next ticks of schedules were recomputed with newer time zone rules."""

    schedules: int


# --- events and webhooks ---------------------------------------------------------------
class EventsRouted(TimedEvent, frozen=True):
    """Events were handed to their subscribers."""

    logged = False
    events: int
    created: int
    """How many deliveries, executions and runs they led to."""


class EventNotRouted(WarningEvent, frozen=True):
    """A sink failed for one event; `dropped`: it can never be routed, and was removed from the queue."""

    position: int
    dropped: bool
    error: str


class EventsWithoutSink(WarningEvent, frozen=True):
    """Events were discarded for subscribers of a kind that this server does not know."""

    kind: str
    count: int


class EventChainStopped(WarningEvent, frozen=True):
    """Executions failed because agents had triggered one another too many times."""

    executions: int


class DeliveryAttempted(TimedEvent, frozen=True):
    """A webhook request was made."""

    logged = False
    result: Literal["delivered", "failed"]


class OutboxSetAside(WarningEvent, frozen=True):
    """Requests were postponed because of a fault of this server; they do not count as attempts."""

    kind: str
    id: str
    error: str
    count: int = 1


class OutboxNotSettled(WarningEvent, frozen=True):
    """The outcome of a request could not be written; the request is made again."""

    kind: str
    id: str
    error: str


class OutboxOutcomeRefused(WarningEvent, frozen=True):
    """The outcome of a request was discarded because its fence was stale."""

    kind: str
    id: str


# --- agents and automations ------------------------------------------------------------
class AgentCalled(TimedEvent, frozen=True):
    """An execution was sent to the callback URL of its agent."""

    logged = False
    result: Literal["answered", "failed"]


class AgentJobsSubmitted(TimedEvent, frozen=True):
    """Executions were handed to the workers of their agents."""

    logged = False
    count: int


class AgentDeactivated(WarningEvent, frozen=True):
    """An agent was deactivated because its callback answered that it no longer exists."""

    agent_id: str


class ExecutionsTimedOut(TelemetryEvent, frozen=True):
    """Executions were not decided in time."""

    count: int


class PollLeasesExpired(TelemetryEvent, frozen=True):
    """Executions were returned because the agent that had polled them did not decide in time."""

    count: int


class RunsDispatched(TimedEvent, frozen=True):
    """Due runs of automations were handed to their agents."""

    logged = False
    runs: int
    jobs: int


class AutomationFileLoaded(TimedEvent, frozen=True):
    """The file of automations was applied."""

    created: int
    changed: int
    removed: int


class AutomationFileRefused(WarningEvent, frozen=True):
    """The file of automations is invalid; the previous definitions stay in force."""

    error: str
