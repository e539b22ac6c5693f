"""Fire due schedules: what the scheduler does in one pass.

States of a tick: expected (the cursor of its schedule, no row) → fired | skipped | missed (a row,
for good).

Invariants:
- A tick is judged in one transaction, which locks its schedule, calls the tick handler, inserts the row of
  the tick and advances the cursor past it.
- The cursor only advances past a judged tick, so no tick is judged twice; the primary key of `ticks`
  enforces this.
- Jobs and runs are created by a `TickHandler`, in the same transaction.

Failure handling: a scheduler that crashes leaves its schedules unchanged, for the next one that locks them.
If the connection breaks at the commit, the next pass finds either the advanced cursor or the tick still due.
A schedule that cannot be judged (newer time zone rules no longer have its zone) is disabled, with the reason
in its tick; one whose transaction fails for another reason is retried alone, so it does not block others
(`fire_due` with `only`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.cron.expressions import CronError
from runwright.cron.zones import RULES_VERSION, UnknownZoneError
from runwright.db.pool import Database, PoolConnection
from runwright.schedules.model import Schedule, ScheduleOwner, Tick, TimingKind
from runwright.schedules.store.ticks import CursorAdvance, DueSchedule, lock_due, record_ticks
from runwright.schedules.tick_policy import (
    JudgedTick,
    Judgement,
    Overlap,
    TickReason,
    TickStatus,
    due_time,
    judge,
)

_MANY: Final = 10
"""The number of ticks of one schedule after which the event loop gets a turn."""

_STOPPING: Final = frozenset({TickReason.WORKER_DEPRECATED, TickReason.SCHEDULE_BROKEN})
"""Reasons after which a schedule is disabled."""

_ANCHORED: Final = frozenset({TimingKind.EVERY, TimingKind.AT})
"""Timings whose grid restarts at a postponed tick."""


class DueTick(msgspec.Struct, frozen=True):
    """A tick that fires now."""

    schedule: Schedule
    scheduled_for: datetime


class TickResult(msgspec.Struct, frozen=True):
    """The job or run of a tick, or the reason why there is none.

    `not_before` postpones the next tick of the schedule to that time.
    """

    job_id: str | None
    reason: TickReason | None = None
    not_before: datetime | None = None


TickHandler = Callable[[PoolConnection, Sequence[DueTick], datetime], Awaitable[Sequence[TickResult]]]
"""Creates the jobs or runs of ticks, in their transaction; returns the results in their order."""


def handler_by_owner(handlers: Mapping[ScheduleOwner, TickHandler]) -> TickHandler:
    """Return a handler that passes each tick to the handler of its schedule's owner."""

    async def handle(db: PoolConnection, ticks: Sequence[DueTick], now: datetime) -> Sequence[TickResult]:
        results: dict[int, TickResult] = {}
        for owner, handler in handlers.items():
            places = [place for place, tick in enumerate(ticks) if tick.schedule.owner is owner]
            if places:
                answers = await handler(db, [ticks[place] for place in places], now)
                results.update(zip(places, answers, strict=True))
        return [results[place] for place in range(len(ticks))]

    return handle


class FiringSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How many schedules a call has judged, and the results of their ticks."""

    schedules: int = 0
    fired: int = 0
    skipped: int = 0
    missed: int = 0
    stopped: int = 0
    latest_ms: int = 0
    """The greatest delay of a tick that fired."""


async def fire_due(
    db: Database, handler: TickHandler, *, now: datetime, limit: int, only: str | None = None
) -> FiringSummary:
    """Judge every tick that is due by now, of at most `limit` schedules, or of one."""
    async with db.acquire() as connection, connection.transaction():
        due = await lock_due(connection, now=now, limit=limit, only=only)
        if not due:
            return FiringSummary()
        ticks, advances = await _judge_all(connection, handler, due, now)
        await record_ticks(connection, ticks=ticks, advances=advances, now=now, zone_rules=RULES_VERSION)
    return _sum_up(ticks, advances)


async def _judge_all(
    connection: PoolConnection, handler: TickHandler, due: Sequence[DueSchedule], now: datetime
) -> tuple[list[Tick], list[CursorAdvance]]:
    judged: list[tuple[Schedule, Judgement, list[Tick]]] = []
    firing: list[DueTick] = []
    for one in due:
        judgement = _judge(one.schedule, now)
        ticks = _ticks_of(one, judgement, now)
        judged.append((one.schedule, judgement, ticks))
        firing += [DueTick(one.schedule, t.scheduled_for) for t in ticks if t.status is TickStatus.FIRED]
        if len(ticks) > _MANY:
            await asyncio.sleep(0)
    results = iter(await handler(connection, firing, now) if firing else ())
    advances: list[CursorAdvance] = []
    done: list[Tick] = []
    for schedule, judgement, ticks in judged:
        handled = [next(results) if t.status is TickStatus.FIRED else None for t in ticks]
        final = [t if r is None else _with_result(t, r) for t, r in zip(ticks, handled, strict=True)]
        done += final
        not_before = max((r.not_before for r in handled if r is not None and r.not_before), default=None)
        advances.append(_advance(schedule, judgement, final, not_before))
    return done, advances


def _judge(schedule: Schedule, now: datetime) -> Judgement:
    cursor = schedule.next_run_at
    assert cursor is not None  # noqa: S101  it is due
    try:
        return judge(schedule.timetable, key=schedule.id, cursor=cursor, now=now, policy=schedule.policy)
    except (CronError, UnknownZoneError):
        return Judgement(ticks=(), gap=None, next_at=None)


def _ticks_of(one: DueSchedule, judgement: Judgement, now: datetime) -> list[Tick]:
    """Return the ticks before the handler is called: those that fire have no job yet."""
    schedule, busy = one.schedule, one.busy
    if not judgement.ticks:
        assert schedule.next_run_at is not None  # noqa: S101  it is due
        broken = JudgedTick(schedule.next_run_at, schedule.next_run_at, fires=False)
        return [_tick(schedule, broken, TickStatus.SKIPPED, TickReason.SCHEDULE_BROKEN, now)]
    ticks = []
    for due in judgement.ticks:
        if not due.fires:
            ticks.append(_tick(schedule, due, TickStatus.MISSED, TickReason.TOO_LATE, now))
        elif busy and schedule.overlap is Overlap.SKIP:
            ticks.append(_tick(schedule, due, TickStatus.SKIPPED, TickReason.OVERLAP, now))
        else:
            ticks.append(_tick(schedule, due, TickStatus.FIRED, None, now))
            busy = True
    if (gap := judgement.gap) is not None:
        skipped = JudgedTick(gap.scheduled_for, gap.scheduled_for, fires=False)
        tick = _tick(schedule, skipped, TickStatus.MISSED, TickReason.TOO_LATE, now)
        ticks.append(msgspec.structs.replace(tick, count=gap.count, through=gap.through))
    return ticks


def _tick(
    schedule: Schedule, due: JudgedTick, status: TickStatus, reason: TickReason | None, now: datetime
) -> Tick:
    return Tick(
        schedule_id=schedule.id,
        scheduled_for=due.scheduled_for,
        due_at=due.due_at,
        status=status,
        reason=reason,
        job_id=None,
        decided_at=now,
    )


def _with_result(tick: Tick, result: TickResult) -> Tick:
    status = TickStatus.FIRED if result.reason is None else TickStatus.SKIPPED
    return msgspec.structs.replace(tick, status=status, reason=result.reason, job_id=result.job_id)


def _advance(
    schedule: Schedule, judgement: Judgement, ticks: Sequence[Tick], not_before: datetime | None
) -> CursorAdvance:
    stops = any(tick.reason in _STOPPING for tick in ticks)
    next_at = None if stops else judgement.next_at
    postponed = not_before is not None and (next_at is None or next_at < not_before)
    next_at = not_before if postponed else next_at
    fired = [tick for tick in ticks if tick.status is TickStatus.FIRED]
    return CursorAdvance(
        schedule_id=schedule.id,
        enabled=not stops,
        next_run_at=next_at,
        due_at=due_time(schedule.id, next_at, schedule.policy),
        last_tick_at=ticks[-1].through or ticks[-1].scheduled_for,
        last_run_at=fired[-1].decided_at if fired else None,
        last_job_id=fired[-1].job_id if fired else None,
        missed=sum(tick.count for tick in ticks if tick.status is TickStatus.MISSED),
        anchor_at=next_at if postponed and schedule.timing in _ANCHORED else None,
    )


def _sum_up(ticks: Sequence[Tick], advances: Sequence[CursorAdvance]) -> FiringSummary:
    fired = [tick for tick in ticks if tick.status is TickStatus.FIRED]
    late = max(((tick.decided_at - tick.due_at) for tick in fired), default=None)
    return FiringSummary(
        schedules=len(advances),
        fired=len(fired),
        skipped=sum(tick.status is TickStatus.SKIPPED for tick in ticks),
        missed=sum(advance.missed for advance in advances),
        stopped=sum(not advance.enabled for advance in advances),
        latest_ms=0 if late is None else round(late.total_seconds() * 1000),
    )
