"""Schedules, their ticks, and previews."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict

import msgspec

from runwright.client.models.base import Info


class ScheduleInfo(Info, frozen=True, kw_only=True):
    """A schedule."""

    id: str
    tenant_id: str
    worker_id: str
    name: str | None = None
    cron: str
    timezone: str
    input: dict[str, Any]
    enabled: bool
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    last_job_id: str | None = None
    created_at: datetime
    updated_at: datetime
    catch_up: str
    overlap: str
    misfire_grace_seconds: int
    jitter_seconds: int
    missed_count: int
    created_by: str


class TickInfo(Info, frozen=True, kw_only=True):
    """One expected firing of a schedule, and its outcome."""

    scheduled_for: datetime
    due_at: datetime
    status: str
    origin: str = "schedule"
    """What fired it: the `schedule`, or a user, at once (`manual`) or for the past (`backfill`)."""
    reason: str | None = None
    message: str | None = None
    job_id: str | None = None
    decided_at: datetime
    late_ms: int | None = None
    count: int = 1
    through: datetime | None = None


class FiringInfo(Info, frozen=True, kw_only=True):
    """One firing to come."""

    at: datetime
    local: str
    """The same instant in the schedule's zone."""
    note: str | None = None
    message: str | None = None


class PreviewInfo(Info, frozen=True, kw_only=True):
    """The next firings of an expression."""

    cron: str
    timezone: str
    firings: list[FiringInfo]


class BackfillInfo(Info, frozen=True, kw_only=True):
    """Firings of the past that are made up for. Of a dry run there are `matched`, `first` and `last` only."""

    id: str | None = None
    schedule_id: str
    since: datetime = msgspec.field(name="from")
    until: datetime = msgspec.field(name="to")
    status: str | None = None
    """`running`, then `completed` or `cancelled`."""
    matched: int
    first: datetime | None = None
    last: datetime | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0
    error: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None


class ScheduleOptions(TypedDict, total=False):
    """The fields of a schedule that have a default."""

    name: str | None
    input: Mapping[str, object]
    enabled: bool
    catch_up: Literal["none", "last"]
    overlap: Literal["allow", "skip"]
    misfire_grace_seconds: int
    jitter_seconds: int


class ScheduleUpdate(ScheduleOptions, total=False):
    """The fields of a schedule that can be changed."""

    worker_id: str
    cron: str
    timezone: str


class ScheduleListing(TypedDict, total=False):
    """Which schedules to list."""

    worker_id: str
    enabled: bool
    q: str
    per_page: int
