"""The world of jobs with schedules in it."""

from collections import Counter
from datetime import datetime

import msgspec

from runwright.core.ids import WorkerId, new_id
from runwright.core.paging import PageRequest
from runwright.db.pool import Database
from runwright.job_views.model import JobFilter
from runwright.jobs.model import Job
from runwright.loops.scheduler import Scheduler
from runwright.schedules.firing import FiringSummary, fire_due
from runwright.schedules.job_factory import submit_jobs
from runwright.schedules.model import Schedule, ScheduleChanges, ScheduleCreate, Tick
from runwright.schedules.service import Schedules
from runwright.schedules.tick_policy import TickStatus
from runwright.workers.model import Worker, WorkerChanges, WorkerStatus
from tests.integration.jobs.world import World
from tests.telemetry import RecordedTelemetry


class ScheduleWorld(World):
    """Everything needed to let schedules fire by hand."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.schedules = Schedules(db, clock=self.clock)
        self.telemetry = RecordedTelemetry()

    async def schedule(
        self, worker: Worker | None = None, cron: str = "* * * * *", timezone: str = "UTC", **fields: object
    ) -> Schedule:
        worker = worker or await self.worker()
        new = ScheduleCreate(worker_id=worker.id, cron=cron, timezone=timezone, **fields)  # type: ignore[arg-type]
        return await self.schedules.create(self.caller(worker.tenant_id), new)

    async def fire(self, *, limit: int = 100, only: str | None = None) -> FiringSummary:
        return await fire_due(self.db, submit_jobs, now=self.now, limit=limit, only=only)

    async def again(self, schedule: Schedule) -> Schedule:
        return await self.schedules.get(schedule.tenant_id, schedule.id)

    async def change(self, schedule: Schedule, **changes: object) -> Schedule:
        caller = self.caller(schedule.tenant_id)
        return await self.schedules.change(caller, schedule.id, ScheduleChanges(**changes))  # type: ignore[arg-type]

    async def set_worker(self, worker: Worker | str, status: WorkerStatus) -> None:
        worker_id = WorkerId(worker) if isinstance(worker, str) else worker.id
        if status is WorkerStatus.DEPRECATED:
            await self.workers.deprecate(self.caller(), worker_id)
        else:
            await self.workers.change(self.caller(), worker_id, WorkerChanges(status=status))

    async def ticks(self, schedule: Schedule, status: TickStatus | None = None) -> list[Tick]:
        """Return its ticks, oldest first."""
        listing = await self.schedules.ticks(
            schedule.tenant_id, schedule.id, status, PageRequest(per_page=100)
        )
        return listing.rows[::-1]

    async def outcomes(self, schedule: Schedule) -> list[tuple[str, str, str | None]]:
        """Return the ticks as (HH:MM:SS, status, reason), oldest first."""
        return [
            (f"{tick.scheduled_for:%H:%M:%S}", tick.status.value, tick.reason and tick.reason.value)
            for tick in await self.ticks(schedule)
        ]

    async def jobs_made(self, tenant_id: str = "ten_a") -> list[Job]:
        """Return the tenant's jobs, oldest first."""
        return (await self.job_views.list(tenant_id, JobFilter(), PageRequest(per_page=100))).rows[::-1]

    async def events(self) -> Counter[str]:
        rows = await self.db.fetch("SELECT type FROM events WHERE type LIKE 'schedule.%'")
        return Counter(row[0] for row in rows)

    def scheduler(self, *, batch: int = 250) -> Scheduler:
        return Scheduler(
            self.db, clock=self.clock, notifications=self.notifications, emit=self.telemetry, batch=batch
        )

    async def assert_clocks_are_right(self) -> None:
        """The invariants: a fired tick has its job and a job its tick; no cursor stands on a judged tick."""
        assert (
            await self.db.fetchval(
                """
                SELECT count(*) FROM ticks t FULL JOIN (
                    SELECT * FROM jobs WHERE schedule_id IS NOT NULL AND retry_of IS NULL
                ) j ON j.id = t.job_id AND j.schedule_id = t.schedule_id AND j.scheduled_at = t.scheduled_for
                WHERE (t.job_id IS NULL) <> (j.id IS NULL) OR (t.schedule_id IS NULL AND j.id IS NOT NULL)
                """
            )
            == 0
        )
        assert (
            await self.db.fetchval(
                """
                SELECT count(*) FROM schedules s JOIN ticks t ON t.schedule_id = s.id
                WHERE t.origin = 'schedule'
                  AND (t.scheduled_for >= s.next_run_at OR t.scheduled_for > s.last_tick_at)
                """
            )
            == 0
        )


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def fresh_schedule_id(at: datetime) -> str:
    return new_id("sch", at)
