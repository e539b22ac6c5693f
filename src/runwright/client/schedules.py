"""`rw.schedules`: jobs by the clock."""

from typing import Unpack

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.jobs import JobInfo
from runwright.client.models.schedules import (
    BackfillInfo,
    PreviewInfo,
    ScheduleInfo,
    ScheduleListing,
    ScheduleOptions,
    ScheduleUpdate,
    TickInfo,
)
from runwright.client.moments import Moment, moment_text
from runwright.client.pagination import PAGE_ROWS, PageSource, Results, filters
from runwright.client.session import new_idempotency_key
from runwright.client.worker_names import worker_id


class SchedulesApi(DualMode[M]):
    """The schedules of the tenant."""

    def list(self, **listing: Unpack[ScheduleListing]) -> Results[M, ScheduleInfo]:
        """Return schedules, newest first."""
        source = PageSource(into=ScheduleInfo, route="GET /v1/ava/schedules", query=filters(listing))
        return Results(self._session, source)

    @call
    async def get(self, schedule_id: str) -> ScheduleInfo:
        """Return a schedule."""
        return await self._session.read(ScheduleInfo, "GET /v1/ava/schedules/{schedule_id}", schedule_id)

    @call
    async def create(
        self, worker: str, cron: str, timezone: str, **options: Unpack[ScheduleOptions]
    ) -> ScheduleInfo:
        """Create a schedule that submits a job to a worker, by name or id, whenever the expression fires."""
        body = {"cron": cron, "timezone": timezone, **options}
        body["worker_id"] = await worker_id(self._session, worker)
        return await self._session.read(ScheduleInfo, "POST /v1/ava/schedules", json=body)

    @call
    async def update(self, schedule_id: str, **changes: Unpack[ScheduleUpdate]) -> ScheduleInfo:
        """Change the given fields of a schedule."""
        return await self._change(schedule_id, changes)

    @call
    async def pause(self, schedule_id: str) -> ScheduleInfo:
        """Let a schedule fire no more."""
        return await self._change(schedule_id, {"enabled": False})

    @call
    async def resume(self, schedule_id: str) -> ScheduleInfo:
        """Let a paused schedule fire again, from now on."""
        return await self._change(schedule_id, {"enabled": True})

    @call
    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule and its ticks; the jobs that it made are kept."""
        await self._session.send("DELETE /v1/ava/schedules/{schedule_id}", schedule_id)

    @call
    async def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> JobInfo:
        """Fire a schedule now, also if it is paused, and return its job."""
        route = "POST /v1/ava/schedules/{schedule_id}/run"
        key = new_idempotency_key(idempotency_key)
        return await self._session.read(JobInfo, route, schedule_id, headers=key)

    @call
    async def backfill(
        self,
        schedule_id: str,
        since: Moment,
        until: Moment | None = None,
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> BackfillInfo:
        """Fire what has not fired in a window of the past, or count it; it continues in the background."""
        body = {"from": moment_text(since), "dry_run": dry_run}
        if until is not None:
            body["to"] = moment_text(until)
        route = "POST /v1/ava/schedules/{schedule_id}/backfill"
        key = new_idempotency_key(idempotency_key)
        return await self._session.read(BackfillInfo, route, schedule_id, json=body, headers=key)

    @call
    async def get_backfill(self, schedule_id: str, backfill_id: str) -> BackfillInfo:
        """Return a backfill."""
        route = "GET /v1/ava/schedules/{schedule_id}/backfills/{backfill_id}"
        return await self._session.read(BackfillInfo, route, schedule_id, backfill_id)

    @call
    async def stop_backfill(self, schedule_id: str, backfill_id: str) -> BackfillInfo:
        """Stop a backfill; the jobs that it has made stay."""
        route = "POST /v1/ava/schedules/{schedule_id}/backfills/{backfill_id}/cancel"
        return await self._session.read(BackfillInfo, route, schedule_id, backfill_id)

    def ticks(self, schedule_id: str, *, status: str | None = None) -> Results[M, TickInfo]:
        """Return the outcome of every expected firing, the latest first."""
        source = PageSource(
            into=TickInfo,
            route="GET /v1/ava/schedules/{schedule_id}/ticks",
            ids=(schedule_id,),
            query={"filter[status]": status, "per_page": PAGE_ROWS},
        )
        return Results(self._session, source)

    @call
    async def preview(self, schedule_id: str, count: int = 10) -> PreviewInfo:
        """Return the next firings of a schedule."""
        route = "GET /v1/ava/schedules/{schedule_id}/preview"
        return await self._session.read(PreviewInfo, route, schedule_id, query={"count": count})

    @call
    async def preview_expression(self, cron: str, timezone: str, count: int = 10) -> PreviewInfo:
        """Return the next firings of an expression that belongs to no schedule yet."""
        query = {"cron": cron, "timezone": timezone, "count": count}
        return await self._session.read(PreviewInfo, "GET /v1/ava/schedules/preview", query=query)

    async def _change(self, schedule_id: str, changes: ScheduleUpdate) -> ScheduleInfo:
        route = "PATCH /v1/ava/schedules/{schedule_id}"
        return await self._session.read(ScheduleInfo, route, schedule_id, json=changes)
