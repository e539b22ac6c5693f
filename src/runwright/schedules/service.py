"""Create, change and read schedules, and read their ticks."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import ScheduleId, WorkerId, new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.core.struct_fields import set_fields
from runwright.core.turns import Turns
from runwright.cron.expressions import CronError
from runwright.cron.timetable import Timetable, timetable_of
from runwright.cron.zones import RULES_VERSION, UnknownZoneError
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.model import Job
from runwright.jobs.store.read import fetch_jobs
from runwright.jobs.store.submit import Submission, accepted_job, insert_jobs
from runwright.schedules.cursor import reset_cursor, skip_due_tick
from runwright.schedules.job_factory import submission_for
from runwright.schedules.model import (
    Schedule,
    ScheduleChanges,
    ScheduleCreate,
    ScheduleFilter,
    SchedulePreview,
    Tick,
    TickOrigin,
)
from runwright.schedules.store.backfills import fired_tick, manual_time
from runwright.schedules.store.schedules import (
    delete_schedule,
    fetch_schedule,
    insert_schedule,
    list_schedules,
    lock_outdated,
    lock_worker,
    update_schedule,
)
from runwright.schedules.store.ticks import list_ticks, record_ticks
from runwright.schedules.tick_policy import TickStatus
from runwright.tenants.audit import record
from runwright.tenants.idempotency import Idempotency, charge_quota, reserve_key
from runwright.tenants.quotas import Quota
from runwright.workers.input_schemas import InputSchemas, raise_problems
from runwright.workers.model import WorkerStatus

_TIMING_FIELDS: Final = ("cron", "timezone", "jitter_seconds", "enabled")


class Schedules:
    """Create, change and read schedules. A call returns after its changes are committed."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        quota: Quota | None = None,
        queued_jobs: Quota | None = None,
        schemas: InputSchemas | None = None,
        on_submitted: Callable[[], None] = lambda: None,
    ) -> None:
        """`quota`: of schedules. `on_submitted` is called when a job was submitted."""
        self._db = db
        self._clock = clock
        self._quota = quota
        self._queued_jobs = queued_jobs
        self._schemas = schemas or InputSchemas(db)
        self._on_submitted = on_submitted

    async def create(self, caller: Caller, new: ScheduleCreate) -> Schedule:
        """Create a schedule; its first tick is the first one after now.

        Raises NotFoundError (no such worker), ConflictError (the worker is deprecated), QuotaError.
        """
        if self._quota is not None:
            await self._quota.take(caller.tenant_id)
        await self._check_input(caller.tenant_id, WorkerId(new.worker_id), new.input)
        now = self._clock()
        schedule = Schedule(
            **{name: getattr(new, name) for name in ScheduleCreate.__struct_fields__},
            id=ScheduleId(new_id("sch", now)),
            tenant_id=caller.tenant_id,
            next_run_at=_timetable(new.cron, new.timezone).next_after(now) if new.enabled else None,
            created_by=caller.user_id,
            created_at=now,
            updated_at=now,
        )
        async with self._db.acquire() as db, db.transaction():
            await _require_worker(db, schedule)
            await insert_schedule(db, schedule)
            await record(db, caller, "schedule.create", schedule.id, after=schedule, now=now)
        return schedule

    async def get(self, tenant_id: str, schedule_id: ScheduleId) -> Schedule:
        """Return one schedule of the tenant."""
        schedule = await fetch_schedule(self._db, tenant_id=tenant_id, schedule_id=schedule_id)
        if schedule is None:
            raise _no_schedule(schedule_id)
        return schedule

    async def list(self, tenant_id: str, which: ScheduleFilter, page: PageRequest) -> Listing[Schedule]:
        """Return a page of the tenant's schedules, newest first."""
        return await list_schedules(self._db, tenant_id=tenant_id, which=which, page=page)

    async def change(self, caller: Caller, schedule_id: ScheduleId, patch: ScheduleChanges) -> Schedule:
        """Change a schedule. A new timing, a pause and a resume reset its cursor to now.

        A tick that is due when the cursor is reset is recorded as skipped. Raises the errors of `create`.
        """
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            schedule = await fetch_schedule(
                db, tenant_id=caller.tenant_id, schedule_id=schedule_id, lock=True
            )
            if schedule is None:
                raise _no_schedule(schedule_id)
            changed = _apply(schedule, patch)
            if changed == schedule:
                return schedule
            changed = msgspec.structs.replace(changed, updated_at=max(now, schedule.updated_at))
            if changed.enabled or changed.worker_id != schedule.worker_id:
                await _require_worker(db, changed)
            if patch.input is not msgspec.UNSET or patch.worker_id is not msgspec.UNSET:
                assert changed.worker_id is not None  # noqa: S101  the owner is a worker
                await self._check_input(caller.tenant_id, WorkerId(changed.worker_id), changed.input)
            if any(getattr(changed, name) != getattr(schedule, name) for name in _TIMING_FIELDS):
                await skip_due_tick(db, schedule, now)
                changed = reset_cursor(changed, now)
            await update_schedule(db, changed)
            await record(db, caller, "schedule.change", schedule_id, before=schedule, after=changed, now=now)
            return changed

    async def _check_input(self, tenant_id: str, worker_id: WorkerId, text: msgspec.Raw) -> None:
        """Raise InvalidError where an input does not match the worker's input schema."""
        [problems] = (await self._schemas.check(tenant_id, worker_id, [bytes(text)])).problems
        raise_problems(problems)

    async def delete(self, caller: Caller, schedule_id: ScheduleId) -> None:
        """Delete a schedule and its ticks; its jobs continue."""
        async with self._db.acquire() as db, db.transaction():
            if not await delete_schedule(db, tenant_id=caller.tenant_id, schedule_id=schedule_id):
                raise _no_schedule(schedule_id)
            await record(db, caller, "schedule.delete", schedule_id, now=self._clock())

    async def run(
        self, caller: Caller, schedule_id: ScheduleId, idempotency: Idempotency | None = None
    ) -> tuple[Job, bool]:
        """Submit the job of a schedule now; return it, and whether an earlier request with the key did.

        Its tick is recorded as manual. The next firing, and whether the schedule is enabled, stay unchanged.
        Raises NotFoundError, ConflictError (its worker is not active, another request has the key),
        QuotaError.
        """
        now = self._clock()
        if self._queued_jobs is not None:
            key = None if idempotency is None else idempotency.key
            await charge_quota(self._queued_jobs, self._db, key, tenant_id=caller.tenant_id, now=now)
        async with self._db.acquire() as db, db.transaction():
            schedule = await fetch_schedule(
                db, tenant_id=caller.tenant_id, schedule_id=schedule_id, lock=True
            )
            if schedule is None:
                raise _no_schedule(schedule_id)
            at = await manual_time(db, schedule_id, now)
            new = submission_for(schedule, at, caller.user_id, now)
            if idempotency is not None and (prior := await _prior_job(db, new, idempotency)):
                return prior, True
            [answer] = await insert_jobs(db, [new])
            job = accepted_job(new, answer)
            tick = fired_tick(schedule_id, at, job.id, due_at=at, origin=TickOrigin.MANUAL, now=now)
            await record_ticks(db, ticks=[tick], advances=[], now=now, zone_rules=RULES_VERSION)
            await record(db, caller, "schedule.run", schedule_id, after=tick, now=now)
        self._on_submitted()
        return job, False

    async def ticks(
        self, tenant_id: str, schedule_id: ScheduleId, status: TickStatus | None, page: PageRequest
    ) -> Listing[Tick]:
        """Return a page of the ticks of a schedule, newest first."""
        schedule = await self.get(tenant_id, schedule_id)
        return await list_ticks(self._db, schedule_id=schedule.id, status=status, page=page)

    async def preview(self, tenant_id: str, schedule_id: ScheduleId, count: int) -> SchedulePreview:
        """Return the next firings of a schedule, as if it were enabled."""
        schedule = await self.get(tenant_id, schedule_id)
        return await self.preview_of(schedule.cron, schedule.timezone, count)

    async def preview_of(self, cron: str, timezone: str, count: int) -> SchedulePreview:
        """Return the next firings of an expression; rare ones take milliseconds each."""
        timetable = _timetable(cron, timezone)
        firings = []
        for firing in islice(timetable.firings_after(self._clock()), count):
            firings.append(firing)
            await asyncio.sleep(0)  # others go in between
        return SchedulePreview(cron=cron, timezone=timezone, timetable=timetable, firings=firings)


async def refresh_cursors(db: Database, ids: Sequence[str], *, now: datetime) -> int:
    """Recompute the cursors of those schedules whose next tick other time zone rules determined.

    Returns how many these are.
    """
    async with db.acquire() as connection, connection.transaction():
        outdated, turns = await lock_outdated(connection, ids, now=now), Turns()
        for schedule in outdated:
            await turns.between()
            with contextlib.suppress(ConflictError):  # it is disabled when its tick is due
                schedule = reset_cursor(schedule, now)  # noqa: PLW2901
            await update_schedule(connection, schedule)
    return len(outdated)


async def _prior_job(db: PoolConnection, new: Submission, idempotency: Idempotency) -> Job | None:
    prior = await reserve_key(db, idempotency, tenant_id=new.tenant_id, ids=[new.id], now=new.created_at)
    if prior is None:
        return None
    jobs = await fetch_jobs(db, tenant_id=new.tenant_id, job_ids=prior)
    if not jobs:
        raise ConflictError("This Idempotency-Key was used with another request.")
    return jobs[0]


def _no_schedule(schedule_id: ScheduleId) -> NotFoundError:
    return NotFoundError(f"There is no schedule {schedule_id}.")


def _timetable(cron: str, timezone: str) -> Timetable:
    """Return the timetable. Raises ConflictError if newer time zone rules no longer have the zone."""
    try:
        return timetable_of(cron, timezone)
    except (CronError, UnknownZoneError):
        raise ConflictError(
            f"The zone {timezone} or the expression {cron!r} is not known any more."
        ) from None


def _apply(schedule: Schedule, patch: ScheduleChanges) -> Schedule:
    changed = msgspec.structs.replace(schedule, **set_fields(patch))
    if bytes(changed.input) == bytes(schedule.input):
        changed = msgspec.structs.replace(changed, input=schedule.input)
    return changed


async def _require_worker(db: PoolConnection, schedule: Schedule) -> None:
    assert schedule.worker_id is not None  # noqa: S101  the owner is a worker
    status = await lock_worker(db, tenant_id=schedule.tenant_id, worker_id=schedule.worker_id)
    if status is None:
        raise NotFoundError(f"There is no worker {schedule.worker_id}.")
    if status is WorkerStatus.DEPRECATED:
        raise ConflictError(f"The worker {schedule.worker_id} is deprecated; its schedules cannot fire.")
