"""Firing: what the scheduler does with schedules whose time has come.

States of a tick: expected (the cursor of its schedule, no row) → fired | skipped | missed (a row,
for good).

Invariants:
- A tick is judged in one transaction, which locks its schedule, makes what the tick makes, writes
  the tick's row and moves the cursor past it. All of that is committed, or none.
- The cursor only moves forward past a judged tick, so no tick is judged twice; the primary key of
  `ticks` would refuse it.
- The clock does not know what a tick makes: a `Make` does that, in the same transaction.

Failure handling: a scheduler that dies leaves its schedules as they were, for whoever locks them
next. One whose connection breaks at the commit finds out by looking again: either the cursor has
moved or the tick is still due. A schedule that cannot be judged (zone rules that know its zone no
more) is stopped, and its tick says so; one whose transaction fails for another reason is left for
later and holds up no other (`fire_due` with `only`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.cron.expressions import CronError
from runwright.cron.zones import RULES_VERSION, UnknownZoneError
from runwright.db.pool import Database, PoolConnection
from runwright.schedules.model import Owner, Schedule, Tick, TimingKind
from runwright.schedules.store.ticks import Advance, DueSchedule, lock_due, record_ticks
from runwright.schedules.tick_policy import (
    DueTick,
    Judgement,
    Overlap,
    TickReason,
    TickStatus,
    due_time,
    judge,
)

_MANY: Final = 10
"""Ticks of one schedule after which the rest of the process gets a turn."""

_STOPPING: Final = frozenset({TickReason.WORKER_DEPRECATED, TickReason.SCHEDULE_BROKEN})
"""Reasons after which a schedule is disabled."""

_ANCHORED: Final = frozenset({TimingKind.EVERY, TimingKind.AT})
"""Timings that begin anew where a tick was put off to."""


class Wanted(msgspec.Struct, frozen=True):
    """A tick that is to fire."""

    schedule: Schedule
    scheduled_for: datetime


class Made(msgspec.Struct, frozen=True):
    """What a tick made: a job or a run, or the reason why it made none.

    `not_before`: the schedule's next tick is that time where it would be earlier.
    """

    job_id: str | None
    reason: TickReason | None = None
    not_before: datetime | None = None


Make = Callable[[PoolConnection, Sequence[Wanted], datetime], Awaitable[Sequence[Made]]]
"""Makes what ticks make, inside their transaction; answers in their order."""


def make_by_owner(makers: Mapping[Owner, Make]) -> Make:
    """Return what makes each tick by the maker of its schedule's owner."""

    async def make(db: PoolConnection, wanted: Sequence[Wanted], now: datetime) -> Sequence[Made]:
        made: dict[int, Made] = {}
        for owner, maker in makers.items():
            places = [place for place, one in enumerate(wanted) if one.schedule.owner is owner]
            if places:
                answers = await maker(db, [wanted[place] for place in places], now)
                made.update(zip(places, answers, strict=True))
        return [made[place] for place in range(len(wanted))]

    return make


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """What a call did."""

    schedules: int = 0
    fired: int = 0
    skipped: int = 0
    missed: int = 0
    stopped: int = 0
    latest_ms: int = 0
    """How late the latest tick was that fired."""


async def fire_due(db: Database, make: Make, *, now: datetime, limit: int, only: str | None = None) -> Fired:
    """Judge every tick that is due by now, of at most `limit` schedules, or of one."""
    async with db.acquire() as connection, connection.transaction():
        due = await lock_due(connection, now=now, limit=limit, only=only)
        if not due:
            return Fired()
        ticks, advances = await _judge_all(connection, make, due, now)
        await record_ticks(connection, ticks=ticks, advances=advances, now=now, zone_rules=RULES_VERSION)
    return _sum_up(ticks, advances)


async def _judge_all(
    connection: PoolConnection, make: Make, due: Sequence[DueSchedule], now: datetime
) -> tuple[list[Tick], list[Advance]]:
    judged: list[tuple[Schedule, Judgement, list[Tick]]] = []
    wanted: list[Wanted] = []
    for one in due:
        judgement = _judge(one.schedule, now)
        ticks = _ticks_of(one, judgement, now)
        judged.append((one.schedule, judgement, ticks))
        wanted += [Wanted(one.schedule, t.scheduled_for) for t in ticks if t.status is TickStatus.FIRED]
        if len(ticks) > _MANY:
            await asyncio.sleep(0)
    made = iter(await make(connection, wanted, now) if wanted else ())
    advances: list[Advance] = []
    done: list[Tick] = []
    for schedule, judgement, ticks in judged:
        things = [next(made) if t.status is TickStatus.FIRED else None for t in ticks]
        final = [t if m is None else _applied(t, m) for t, m in zip(ticks, things, strict=True)]
        done += final
        not_before = max((m.not_before for m in things if m is not None and m.not_before), default=None)
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
    """Return the ticks as they end unless what makes them refuses: fired ones lack their job."""
    schedule, busy = one.schedule, one.busy
    if not judgement.ticks:
        assert schedule.next_run_at is not None  # noqa: S101  it is due
        broken = DueTick(schedule.next_run_at, schedule.next_run_at, fires=False)
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
        told = DueTick(gap.scheduled_for, gap.scheduled_for, fires=False)
        tick = _tick(schedule, told, TickStatus.MISSED, TickReason.TOO_LATE, now)
        ticks.append(msgspec.structs.replace(tick, count=gap.count, through=gap.through))
    return ticks


def _tick(
    schedule: Schedule, due: DueTick, status: TickStatus, reason: TickReason | None, now: datetime
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


def _applied(tick: Tick, made: Made) -> Tick:
    status = TickStatus.FIRED if made.reason is None else TickStatus.SKIPPED
    return msgspec.structs.replace(tick, status=status, reason=made.reason, job_id=made.job_id)


def _advance(
    schedule: Schedule, judgement: Judgement, ticks: Sequence[Tick], not_before: datetime | None
) -> Advance:
    stops = any(tick.reason in _STOPPING for tick in ticks)
    next_at = None if stops else judgement.next_at
    put_off = not_before is not None and (next_at is None or next_at < not_before)
    next_at = not_before if put_off else next_at
    fired = [tick for tick in ticks if tick.status is TickStatus.FIRED]
    return Advance(
        schedule_id=schedule.id,
        enabled=not stops,
        next_run_at=next_at,
        due_at=due_time(schedule.id, next_at, schedule.policy),
        last_tick_at=ticks[-1].through or ticks[-1].scheduled_for,
        last_run_at=fired[-1].decided_at if fired else None,
        last_job_id=fired[-1].job_id if fired else None,
        missed=sum(tick.count for tick in ticks if tick.status is TickStatus.MISSED),
        anchor_at=next_at if put_off and schedule.timing in _ANCHORED else None,
    )


def _sum_up(ticks: Sequence[Tick], advances: Sequence[Advance]) -> Fired:
    fired = [tick for tick in ticks if tick.status is TickStatus.FIRED]
    late = max(((tick.decided_at - tick.due_at) for tick in fired), default=None)
    return Fired(
        schedules=len(advances),
        fired=len(fired),
        skipped=sum(tick.status is TickStatus.SKIPPED for tick in ticks),
        missed=sum(advance.missed for advance in advances),
        stopped=sum(not advance.enabled for advance in advances),
        latest_ms=0 if late is None else round(late.total_seconds() * 1000),
    )
