"""The rules for due ticks of a schedule, without I/O.

A *tick* is one expected firing, identified by its nominal time. It is due at that time plus its jitter.
The cursor is the nominal time of the next unjudged tick; a pass judges every due tick from there in order,
and advances the cursor:

- due at most a grace period ago: it fires, perhaps late; where the policy coalesces, only the latest of
  those that are due fires, unless catch-up is `all`;
- due before that: it is missed, except
- with catch-up `last`, the latest due tick, which fires however late it is;
- with catch-up `all`, the latest `MOST_TICKS` of them, which all fire.

A long outage is not judged tick by tick: after `MOST_TICKS`, all ticks older than an hour (or the grace
period) become one gap with their number, so a schedule that fires every minute recovers at once after a year.
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
    """Which missed ticks fire."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class Overlap(StrEnum):
    """Whether a tick fires or is skipped while the job of the previous one has not ended."""

    ALLOW = "allow"
    SKIP = "skip"


class TickStatus(StrEnum):
    """The result of a tick."""

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
    """Nominal times, defined by a cron expression, an interval or a single instant."""

    def next_after(self, at: datetime, /) -> datetime | None:
        """Return the first nominal time after an instant, or None."""

    def count(self, after: datetime, until: datetime, /) -> int:
        """Return the number of nominal times after one instant and not after another."""


class TickPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the late ticks of a schedule are handled."""

    catch_up: CatchUp = CatchUp.NONE
    grace_seconds: int
    jitter_seconds: int = 0
    coalesce: bool = False
    """Whether ticks that are due together fire once."""


class JudgedTick(msgspec.Struct, frozen=True):
    """A due tick, and whether its lateness allows it to fire."""

    scheduled_for: datetime
    due_at: datetime
    fires: bool


class Gap(msgspec.Struct, frozen=True):
    """Many missed ticks, recorded as one."""

    scheduled_for: datetime
    through: datetime
    count: int


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The due ticks, and the cursor after them."""

    ticks: Sequence[JudgedTick]
    gap: Gap | None
    next_at: datetime | None


def jitter_of(key: str, scheduled_for: datetime, jitter_seconds: int) -> timedelta:
    """Return the delay of a tick in whole milliseconds, below the jitter; a function of the tick."""
    if jitter_seconds == 0:
        return timedelta()
    digest = hashlib.blake2b(f"{key} {scheduled_for.timestamp()}".encode(), digest_size=8).digest()
    return timedelta(milliseconds=int.from_bytes(digest) * jitter_seconds * 1000 >> 64)


def due_time(key: str, scheduled_for: datetime | None, policy: TickPolicy) -> datetime | None:
    """Return when a tick is due."""
    if scheduled_for is None:
        return None
    return scheduled_for + jitter_of(key, scheduled_for, policy.jitter_seconds)


def judge(timing: Timing, *, key: str, cursor: datetime, now: datetime, policy: TickPolicy) -> Judgement:
    """Judge every tick from the cursor on that is due by now; `key` seeds the jitter."""
    grace = timedelta(seconds=policy.grace_seconds)
    if policy.catch_up is CatchUp.ALL and timing.count(cursor, now - grace) >= MOST_TICKS:
        return _give_up_oldest(timing, cursor, now - grace)
    ticks: list[JudgedTick] = []
    at: datetime | None = cursor
    while (due_at := due_time(key, at, policy)) is not None and due_at <= now and len(ticks) < MOST_TICKS:
        assert at is not None  # noqa: S101  it is due
        ticks.append(JudgedTick(at, due_at, fires=policy.catch_up is CatchUp.ALL or now - due_at <= grace))
        at = timing.next_after(at)
    more = due_at is not None and due_at <= now
    if policy.coalesce and policy.catch_up is not CatchUp.ALL:
        ticks = _coalesced(ticks, more=more)
    if ticks and not more and policy.catch_up is CatchUp.LAST:
        ticks[-1] = msgspec.structs.replace(ticks[-1], fires=True)
    gap = None
    if more and at is not None:
        gap, at = _leap(timing, at, now - max(_NEAR, grace) - timedelta(seconds=policy.jitter_seconds))
    return Judgement(ticks=ticks, gap=gap, next_at=at)


def _coalesced(ticks: Sequence[JudgedTick], *, more: bool) -> list[JudgedTick]:
    """Let only the latest of the ticks that may fire do so; none if later ones are due."""
    firing = [place for place, tick in enumerate(ticks) if tick.fires]
    late = set(firing if more else firing[:-1])
    return [msgspec.structs.replace(t, fires=False) if n in late else t for n, t in enumerate(ticks)]


def _give_up_oldest(timing: Timing, cursor: datetime, until: datetime) -> Judgement:
    """Leave the latest `MOST_TICKS` late ticks to the next pass; those before them are missed."""
    early, late = cursor, until
    while late - early > _CLOSE:
        middle = early + (late - early) / 2
        early, late = (early, middle) if timing.count(middle, until) < MOST_TICKS else (middle, late)
    first = JudgedTick(cursor, cursor, fires=False)
    after = timing.next_after(cursor)
    gap, next_at = (None, None) if after is None else _leap(timing, after, early)
    return Judgement(ticks=[first], gap=gap, next_at=next_at)


def _leap(timing: Timing, at: datetime, until: datetime) -> tuple[Gap | None, datetime | None]:
    """Skip all ticks from `at` to `until`; return them as a gap, and the cursor after it."""
    if at >= until:
        return None, at
    return Gap(at, until, 1 + timing.count(at, until)), timing.next_after(until)
