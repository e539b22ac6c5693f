"""Catching up the firings of a schedule in a window of the past.

A backfill visits the nominal times of its window from the oldest to the newest and fires those that have not
fired: missed, skipped or never expected. States: running → completed | cancelled.

Invariants:
- A step fires a bounded number of times and moves `visited_at` past them in one transaction, which has locked
  the schedule. So an interrupted backfill continues where it was, and none fires a time that has fired.
- It leaves to the scheduler what lies at or after the schedule's cursor, and to the record what is older than
  the retention of ticks: whether that has fired is not known any more.

Failure handling: a step that fails, or that is at the quota of queued jobs, is put off; others continue.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from runwright.bulk.store import count_running_operations, defer_operation
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError, QuotaError
from runwright.core.ids import BackfillId, ScheduleId, new_id
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.submit import Rejection, insert_jobs
from runwright.schedules.cursor import timing_of
from runwright.schedules.job_factory import submission_for
from runwright.schedules.model import Backfill, BackfillPlan, BackfillStatus, Schedule, TickOrigin
from runwright.schedules.store import backfills as store
from runwright.schedules.store.backfills import TABLE, BackfillProgress
from runwright.schedules.store.schedules import fetch_schedule
from runwright.tenants.audit import record
from runwright.tenants.idempotency import Idempotency, reserve_key
from runwright.tenants.quotas import Quota

MOST_FIRINGS: Final = 10_000
"""Firings in the window of one backfill."""

MOST_BACKFILLS: Final = 5
"""Backfills of one tenant at a time; of a schedule one."""

STEP_FIRINGS: Final = 25
PUT_OFF: Final = timedelta(seconds=5)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MANY: Final = 10
"""Nominal times after which the event loop gets a turn."""


class Backfills:
    """Backfills as callers see them. `on_started` wakes the loop that carries them out."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        retention: timedelta,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        """`retention`: how long ticks are kept."""
        self._db = db
        self._clock = clock
        self._retention = retention
        self._on_started = on_started

    async def require(self, tenant_id: str, schedule_id: ScheduleId) -> Schedule:
        """Return a schedule of the tenant."""
        return _found(
            await fetch_schedule(self._db, tenant_id=tenant_id, schedule_id=schedule_id), schedule_id
        )

    async def plan(
        self, tenant_id: str, schedule_id: ScheduleId, begin: datetime, end: datetime
    ) -> BackfillPlan:
        """Return what a backfill of this window would fire now. InvalidError is about `from` or `to`."""
        schedule = await self.require(tenant_id, schedule_id)
        times = await self._unfired(self._db, schedule, begin, end)
        return BackfillPlan(
            firings=len(times), first=times[0] if times else None, last=times[-1] if times else None
        )

    async def start(
        self,
        caller: Caller,
        schedule_id: ScheduleId,
        begin: datetime,
        end: datetime,
        idempotency: Idempotency | None = None,
    ) -> Backfill:
        """Start a backfill; where the key was used before, return that one.

        Raises InvalidError as `plan` does, and ConflictError where one of the schedule, or MOST_BACKFILLS
        of the tenant, are running.
        """
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            schedule = _found(
                await fetch_schedule(db, tenant_id=caller.tenant_id, schedule_id=schedule_id), schedule_id
            )
            backfill = Backfill(
                id=BackfillId(new_id("bfl", now)),
                tenant_id=caller.tenant_id,
                schedule_id=schedule_id,
                from_at=begin,
                to_at=min(end, now),
                status=BackfillStatus.RUNNING,
                matched=0,
                created_by=caller.user_id,
                created_at=now,
                due_at=now,
            )
            if idempotency is not None and (prior := await self._prior(db, backfill, idempotency, now)):
                return prior
            backfill = await self._insert(db, backfill, schedule)
            await record(db, caller, "schedule.backfill", schedule_id, now=now, after=backfill)
        self._on_started()
        return backfill

    async def _insert(self, db: PoolConnection, backfill: Backfill, schedule: Schedule) -> Backfill:
        if await count_running_operations(db, TABLE, backfill.tenant_id) >= MOST_BACKFILLS:
            raise ConflictError(f"{MOST_BACKFILLS} backfills are running; wait for one, or cancel it.")
        times = await self._unfired(db, schedule, backfill.from_at, backfill.to_at)
        backfill = replace(backfill, matched=len(times))
        if not await store.insert_backfill(db, backfill):
            raise ConflictError("A backfill of this schedule is running; wait for it, or cancel it.")
        return backfill

    async def get(self, tenant_id: str, schedule_id: ScheduleId, backfill_id: BackfillId) -> Backfill:
        """Return one backfill of a schedule."""
        found = await store.fetch_backfill(
            self._db, tenant_id=tenant_id, schedule_id=schedule_id, backfill_id=backfill_id
        )
        if found is None:
            raise NotFoundError(f"There is no backfill {backfill_id}.")
        return found

    async def cancel(self, caller: Caller, schedule_id: ScheduleId, backfill_id: BackfillId) -> Backfill:
        """End a backfill; what it fired stays. ConflictError when it has ended."""
        await self.get(caller.tenant_id, schedule_id, backfill_id)
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            cancelled = await store.end_backfill(db, backfill_id, error=None, now=now)
            if cancelled:
                await record(db, caller, "schedule.backfill_stop", schedule_id, now=now)
        backfill = await self.get(caller.tenant_id, schedule_id, backfill_id)
        if not cancelled:
            raise ConflictError(f"The backfill has already ended ({backfill.status}).")
        return backfill

    async def _prior(
        self, db: PoolConnection, backfill: Backfill, idempotency: Idempotency, now: datetime
    ) -> Backfill | None:
        tenant_id = backfill.tenant_id
        prior = await reserve_key(db, idempotency, tenant_id=tenant_id, ids=[backfill.id], now=now)
        if prior is None:
            return None
        found = await store.fetch_backfill(
            db,
            tenant_id=tenant_id,
            schedule_id=ScheduleId(backfill.schedule_id),
            backfill_id=BackfillId(prior[0]),
        )
        if found is None:
            raise ConflictError("This Idempotency-Key was used with another request.")
        return found

    async def _unfired(
        self, db: Database | PoolConnection, schedule: Schedule, begin: datetime, end: datetime
    ) -> Sequence[datetime]:
        """Return the nominal times of a window that have not fired."""
        now = self._clock()
        if begin < now - self._retention:
            days = round(self._retention / timedelta(days=1), 1)
            raise InvalidError(
                {"from": [f"Must be within the last {days:g} days: what fired before is not known any more."]}
            )
        if begin > now:
            raise InvalidError({"from": ["Must not be in the future."]})
        if end < begin:
            raise InvalidError({"to": ["Must not be before from."]})
        until = _until(schedule, min(end, now))
        count = timing_of(schedule).count(begin - _MILLISECOND, until) if until >= begin else 0
        if count > MOST_FIRINGS:
            raise InvalidError(
                {"from": [f"The window has {count} firings; one backfill takes at most {MOST_FIRINGS}."]}
            )
        times = await _nominal_times(schedule, begin - _MILLISECOND, until, MOST_FIRINGS)
        fired = await store.fired_times(db, schedule.id, first=begin, last=until)
        return [at for at in times if at not in fired]


class BackfillSteps:
    """Carries out the backfills of all tenants, in bounded steps that alternate between them."""

    def __init__(
        self, db: Database, *, clock: Clock, notifications: JobNotifications, quota: Quota | None = None
    ) -> None:
        """`quota`: of queued jobs; a backfill waits while the tenant is at its limit."""
        self._db = db
        self._clock = clock
        self._notifications = notifications
        self._quota = quota

    async def step(self) -> bool:
        """Carry out one step of the backfill that waits longest; return False where none is due."""
        backfill: Backfill | None = None
        try:
            async with self._db.acquire() as db, db.transaction():
                locked = await store.lock_next_backfill(db, now=self._clock())
                if locked is None:
                    return False
                backfill, visited_at = locked
                fired = await self._advance(db, backfill, visited_at)
        except QuotaError as error:
            await self._put_off(backfill, error.message)
            return True
        except Exception:
            await self._put_off(backfill, "A step failed; it is tried again.")
            raise
        if fired:
            self._notifications.jobs_ready()
        return True

    async def _put_off(self, backfill: Backfill | None, reason: str) -> None:
        if backfill is not None:
            await defer_operation(self._db, TABLE, backfill.id, reason, until=self._clock() + PUT_OFF)

    async def _advance(self, db: PoolConnection, backfill: Backfill, visited_at: datetime) -> int:
        """Fire the next times; return how many were fired."""
        now = self._clock()
        schedule = await fetch_schedule(
            db, tenant_id=backfill.tenant_id, schedule_id=backfill.schedule_id, lock=True
        )
        if schedule is None:
            await store.end_backfill(db, backfill.id, error="The schedule was deleted.", now=now)
            return 0
        until = _until(schedule, backfill.to_at)
        try:
            times = await _nominal_times(schedule, visited_at, until, STEP_FIRINGS)
        except ConflictError as error:  # newer rules lack its zone
            await store.end_backfill(db, backfill.id, error=error.message, now=now)
            return 0
        progress = await self._fire(db, backfill, schedule, times, now)
        await store.save_backfill_progress(db, backfill, progress, now=now)
        return progress.done

    async def _fire(
        self,
        db: PoolConnection,
        backfill: Backfill,
        schedule: Schedule,
        times: Sequence[datetime],
        now: datetime,
    ) -> BackfillProgress:
        if not times:
            return BackfillProgress(visited_at=backfill.to_at, over=True)
        fired = await store.fired_times(db, schedule.id, first=times[0], last=times[-1])
        due = [at for at in times if at not in fired]
        if self._quota is not None:
            await self._quota.take(backfill.tenant_id, len(due))
        jobs = [submission_for(schedule, at, backfill.created_by, now) for at in due]
        answers = await insert_jobs(db, jobs)
        accepted = {
            at: job.id
            for at, job, answer in zip(due, jobs, answers, strict=True)
            if not isinstance(answer, Rejection)
        }
        refusals = [answer for answer in answers if isinstance(answer, Rejection)]
        ticks = [
            store.fired_tick(schedule.id, at, job_id, due_at=at, origin=TickOrigin.BACKFILL, now=now)
            for at, job_id in accepted.items()
        ]
        await store.record_fired(db, ticks, timing_of(schedule), now=now)
        return BackfillProgress(
            done=len(accepted),
            failed=len(refusals),
            error=f"The worker {schedule.worker_id} is {refusals[-1]}." if refusals else None,
            visited_at=times[-1],
            over=len(times) < STEP_FIRINGS,
        )


def _until(schedule: Schedule, end: datetime) -> datetime:
    """Return the end of a window, which is before what the scheduler will fire itself."""
    cursor = schedule.next_run_at
    return end if cursor is None else min(end, cursor - _MILLISECOND)


async def _nominal_times(
    schedule: Schedule, after: datetime, until: datetime, most: int
) -> Sequence[datetime]:
    """Return up to `most` nominal times after one instant and not after another."""
    timing, times = timing_of(schedule), list[datetime]()
    at = timing.next_after(after)
    while at is not None and at <= until and len(times) < most:
        times.append(at)
        if len(times) % _MANY == 0:
            await asyncio.sleep(0)
        at = timing.next_after(at)
    return times


def _found(schedule: Schedule | None, schedule_id: ScheduleId) -> Schedule:
    if schedule is None:
        raise NotFoundError(f"There is no schedule {schedule_id}.")
    return schedule
