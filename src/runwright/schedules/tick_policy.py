"""What becomes of a schedule's firings when their time has come: the rules, without I/O.

A *tick* is one expected firing, named by its nominal time. It is due at that time plus its jitter.
The cursor is the nominal time of the next tick that nobody has judged; a pass judges every tick
from there that is due, in their order, and moves the cursor on:

- due no longer ago than the grace: it fires, perhaps late;
- longer ago: it is missed, except
- with catch-up `last`, the latest tick that is due, which fires however late it is;
- with catch-up `all`, the latest `MOST_TICKS` of those, which all fire.

A long outage is not judged tick by tick: after `MOST_TICKS` of them what is older than an hour
(or than the grace) becomes one gap, which says how many there were, so that a minutely schedule
that comes back after a year is back at once.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import msgspec

MOST_TICKS: Final = 100
_NEAR: Final = timedelta(hours=1)
_CLOSE: Final = timedelta(milliseconds=1)


class CatchUp(StrEnum):
    """What is fired of the ticks that were missed."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class Overlap(StrEnum):
    """What a tick does while the job of the last one lives: fire all the same, or be skipped."""

    ALLOW = "allow"
    SKIP = "skip"


class TickStatus(StrEnum):
    """What became of a tick."""

    FIRED = "fired"
    SKIPPED = "skipped"
    MISSED = "missed"


class TickReason(StrEnum):
    """Why a tick did not fire."""

    TOO_LATE = "too_late"
    OVERLAP = "overlap"
    WORKER_PAUSED = "worker_paused"
    WORKER_DEPRECATED = "worker_deprecated"
    SCHEDULE_CHANGED = "schedule_changed"
    SCHEDULE_BROKEN = "schedule_broken"
    TENANT_SUSPENDED = "tenant_suspended"
    FIRE_LIMIT = "fire_limit"
    AUTOMATIONS_OFF = "automations_off"


class Timing(Protocol):
    """Nominal times, however they come about: by a cron expression, an interval, a list."""

    def next_after(self, at: datetime, /) -> datetime | None:
        """Return the first nominal time after an instant, or None."""

    def count(self, after: datetime, until: datetime, /) -> int:
        """Return how many there are after one instant and not after another."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a schedule wants of late ticks."""

    catch_up: CatchUp = CatchUp.NONE
    grace_seconds: int
    jitter_seconds: int = 0


class DueTick(msgspec.Struct, frozen=True):
    """A tick whose time has come; `fires` unless something else forbids it."""

    scheduled_for: datetime
    due_at: datetime
    fires: bool


class Gap(msgspec.Struct, frozen=True):
    """Many missed ticks told as one."""

    scheduled_for: datetime
    through: datetime
    count: int


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the ticks that were due, and the cursor after them."""

    ticks: Sequence[DueTick]
    gap: Gap | None
    next_at: datetime | None


def jitter_of(key: str, scheduled_for: datetime, jitter_seconds: int) -> timedelta:
    """Return a tick's delay in whole milliseconds, below the jitter; the same tick always has the same."""
    if jitter_seconds == 0:
        return timedelta()
    digest = hashlib.blake2b(f"{key} {scheduled_for.timestamp()}".encode(), digest_size=8).digest()
    return timedelta(milliseconds=int.from_bytes(digest) * jitter_seconds * 1000 >> 64)


def due_time(key: str, scheduled_for: datetime | None, policy: Policy) -> datetime | None:
    """Return when a tick is due."""
    if scheduled_for is None:
        return None
    return scheduled_for + jitter_of(key, scheduled_for, policy.jitter_seconds)


def judge(timing: Timing, *, key: str, cursor: datetime, now: datetime, policy: Policy) -> Judgement:
    """Say what becomes of every tick from the cursor on that is due by now; `key` seeds the jitter."""
    grace = timedelta(seconds=policy.grace_seconds)
    if policy.catch_up is CatchUp.ALL and timing.count(cursor, now - grace) >= MOST_TICKS:
        return _give_up_oldest(timing, cursor, now - grace)
    ticks: list[DueTick] = []
    at: datetime | None = cursor
    while (due_at := due_time(key, at, policy)) is not None and due_at <= now and len(ticks) < MOST_TICKS:
        assert at is not None  # noqa: S101  it is due
        ticks.append(DueTick(at, due_at, fires=policy.catch_up is CatchUp.ALL or now - due_at <= grace))
        at = timing.next_after(at)
    more = due_at is not None and due_at <= now
    if ticks and not more and policy.catch_up is CatchUp.LAST:
        ticks[-1] = msgspec.structs.replace(ticks[-1], fires=True)
    gap = None
    if more and at is not None:
        gap, at = _leap(timing, at, now - max(_NEAR, grace) - timedelta(seconds=policy.jitter_seconds))
    return Judgement(ticks=ticks, gap=gap, next_at=at)


def _give_up_oldest(timing: Timing, cursor: datetime, until: datetime) -> Judgement:
    """Leave `MOST_TICKS` of those that are too late for the next pass; what is before them is missed."""
    early, late = cursor, until
    while late - early > _CLOSE:
        middle = early + (late - early) / 2
        early, late = (early, middle) if timing.count(middle, until) < MOST_TICKS else (middle, late)
    first = DueTick(cursor, cursor, fires=False)
    after = timing.next_after(cursor)
    gap, next_at = (None, None) if after is None else _leap(timing, after, early)
    return Judgement(ticks=[first], gap=gap, next_at=next_at)


def _leap(timing: Timing, at: datetime, until: datetime) -> tuple[Gap | None, datetime | None]:
    """Give up all ticks from `at` to `until`; returns them as a gap, and the cursor after it."""
    if at >= until:
        return None, at
    return Gap(at, until, 1 + timing.count(at, until)), timing.next_after(until)
