"""`rw.schedules`: jobs by the clock."""

from typing import Unpack

from runwright.client.faces import Face, M, call
from runwright.client.models.schedules import (
    PreviewInfo,
    ScheduleInfo,
    ScheduleListing,
    ScheduleOptions,
    ScheduleUpdate,
    TickInfo,
)
from runwright.client.results import PAGE_ROWS, PageSource, Results, filters
from runwright.client.worker_names import worker_id


class SchedulesApi(Face[M]):
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
