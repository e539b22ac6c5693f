"""Schedules and their ticks."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from runwright.core.ids import BackfillId, ScheduleId
from runwright.cron.go_expressions import go_timetable_of
from runwright.cron.intervals import Every, Once
from runwright.cron.timetable import Firing, Timetable, timetable_of
from runwright.schedules.tick_policy import CatchUp, Overlap, TickPolicy, TickReason, TickStatus, Timing

DEFAULT_GRACE_SECONDS = 30


class ScheduleOwner(StrEnum):
    """What a schedule fires: a worker, or the automation with the same id."""

    WORKER = "worker"
    AUTOMATION = "automation"


class TimingKind(StrEnum):
    """How the times of a schedule are defined."""

    CRON = "cron"
    PLAIN_CRON = "plain_cron"
    EVERY = "every"
    AT = "at"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule. `input` is JSON text."""

    id: ScheduleId
    tenant_id: str
    worker_id: str | None = None
    name: str | None = None
    cron: str
    timezone: str
    input: msgspec.Raw = msgspec.Raw(b"{}")
    enabled: bool
    catch_up: CatchUp
    overlap: Overlap = Overlap.ALLOW
    misfire_grace_seconds: int
    jitter_seconds: int = 0
    next_run_at: datetime | None = None
    last_tick_at: datetime | None = None
    last_run_at: datetime | None = None
    last_job_id: str | None = None
    missed_count: int = 0
    created_by: str
    created_at: datetime
    updated_at: datetime
    owner: ScheduleOwner = ScheduleOwner.WORKER
    timing: TimingKind = TimingKind.CRON
    anchor_at: datetime | None = None
    step: timedelta | None = None

    @property
    def policy(self) -> TickPolicy:
        """How its late ticks are handled."""
        return TickPolicy(
            catch_up=self.catch_up,
            grace_seconds=self.misfire_grace_seconds,
            jitter_seconds=self.jitter_seconds,
            coalesce=self.owner is ScheduleOwner.AUTOMATION,
        )

    @property
    def timetable(self) -> Timing:
        """When it fires. Raises CronError or UnknownZoneError if newer zone rules lack its zone."""
        if self.timing is TimingKind.PLAIN_CRON:
            return go_timetable_of(self.cron, self.timezone)
        if self.anchor_at is None:
            return timetable_of(self.cron, self.timezone)
        return Once(self.anchor_at) if self.step is None else Every(self.anchor_at, self.step)


class ScheduleCreate(msgspec.Struct, frozen=True, kw_only=True):
    """The validated fields of a schedule to create."""

    worker_id: str
    cron: str
    timezone: str
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    enabled: bool = True
    catch_up: CatchUp = CatchUp.NONE
    overlap: Overlap = Overlap.ALLOW
    misfire_grace_seconds: int = DEFAULT_GRACE_SECONDS
    jitter_seconds: int = 0


class ScheduleChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a schedule; UNSET fields stay unchanged."""

    worker_id: str | msgspec.UnsetType = msgspec.UNSET
    cron: str | msgspec.UnsetType = msgspec.UNSET
    timezone: str | msgspec.UnsetType = msgspec.UNSET
    name: str | None | msgspec.UnsetType = msgspec.UNSET
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    catch_up: CatchUp | msgspec.UnsetType = msgspec.UNSET
    overlap: Overlap | msgspec.UnsetType = msgspec.UNSET
    misfire_grace_seconds: int | msgspec.UnsetType = msgspec.UNSET
    jitter_seconds: int | msgspec.UnsetType = msgspec.UNSET


class ScheduleFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which schedules to list."""

    worker_id: str | None = None
    enabled: bool | None = None
    name_contains: str | None = None


class TickOrigin(StrEnum):
    """What caused a tick."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    """A user fired the schedule at once."""
    BACKFILL = "backfill"
    """A user caught a window up."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One expected firing and its result; with a `count`, several that were missed together."""

    schedule_id: str
    scheduled_for: datetime
    due_at: datetime
    status: TickStatus
    reason: TickReason | None
    job_id: str | None
    decided_at: datetime
    count: int = 1
    through: datetime | None = None
    origin: TickOrigin = TickOrigin.SCHEDULE


class BackfillStatus(StrEnum):
    """The state of a backfill."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """By a user, or because its schedule was deleted. The jobs that it has submitted continue."""


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """A window of a schedule whose firings are made up for, oldest first."""

    id: BackfillId
    tenant_id: str
    schedule_id: str
    from_at: datetime
    to_at: datetime
    status: BackfillStatus
    matched: int
    """Firings in the window that had not fired when it began."""
    done: int = 0
    failed: int = 0
    """Firings whose worker takes no jobs."""
    skipped: int = 0
    """Firings that have fired meanwhile."""
    error: str | None = None
    """Why the latest of the failed ones failed, what it waits for, or why it was cancelled."""
    created_by: str
    created_at: datetime
    due_at: datetime
    completed_at: datetime | None = None


class BackfillPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill would fire."""

    firings: int
    first: datetime | None
    last: datetime | None


class SchedulePreview(msgspec.Struct, frozen=True, kw_only=True):
    """The next firings of an expression in a zone."""

    cron: str
    timezone: str
    timetable: Timetable
    firings: Sequence[Firing]
