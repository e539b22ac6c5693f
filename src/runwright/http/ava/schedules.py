"""The routes of schedules."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import READS, WRITES, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import read_page, show_page
from runwright.http.ava.schedule_forms import (
    CHANGE_SCHEDULE,
    CREATE_SCHEDULE,
    LIST_SCHEDULES,
    LIST_TICKS,
    PREVIEW,
    PREVIEW_EXPRESSION,
    ChangeScheduleBody,
    CreateScheduleBody,
    ExpressionQuery,
    PreviewQuery,
    ScheduleQuery,
    TickQuery,
    new_schedule,
    schedule_changes,
    schedule_filter,
)
from runwright.http.ava.schedule_shapes import preview_wire, schedule_wire, tick_wire
from runwright.http.ava.wire import Data, Page, PreviewWire, ScheduleWire, TickWire
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Schedules"


def _known(schedule_id: str) -> str:
    """Spare the store what cannot be an id."""
    if not is_id("sch", schedule_id):
        raise NotFoundError("There is no such schedule.")
    return schedule_id


class ScheduleRoutes(Controller):
    """When workers run by themselves."""

    path = "/schedules"

    @get(
        "/",
        guards=[READS],
        opt=Operation("List schedules", tag=_TAG, query=ScheduleQuery, errors=(422,)).opt,
    )
    async def list_schedules(self, request: AvaRequest) -> Page[ScheduleWire]:
        query = LIST_SCHEDULES.read_query(request.scope["query_string"])
        page = read_page(query, "sch")
        which = schedule_filter(query)
        listing = await services_of(request).schedules.list(request.user.tenant_id, which, page)
        return Page([schedule_wire(schedule) for schedule in listing.rows], show_page(listing, page))

    @post(
        "/",
        guards=[WRITES],
        opt=Operation(
            "Create a schedule",
            tag=_TAG,
            body=CreateScheduleBody,
            errors=(404, 409, 422),
            example={
                "worker_id": "wkr_01jd9x3v7m0000000000000000",
                "name": "Weekday digest",
                "cron": "0 9 * * MON-FRI",
                "timezone": "Europe/Berlin",
                "input": {"name": "Ada"},
            },
        ).opt,
    )
    async def create_schedule(self, request: AvaRequest) -> Data[ScheduleWire]:
        """Each firing makes a job with the schedule's input.

        Daylight saving time: a local time that does not exist fires once, at the next instant that
        does; one that occurs twice fires the first time only.
        """
        NO_QUERY.read_query(request.scope["query_string"])
        body = await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)
        new = new_schedule(CREATE_SCHEDULE.read_json(body))
        return Data(schedule_wire(await services_of(request).schedules.create(request.user, new)))

    @get(
        "/preview",
        guards=[READS],
        opt=Operation("Preview an expression", tag=_TAG, query=ExpressionQuery, errors=(422,)).opt,
    )
    async def preview_expression(self, request: AvaRequest) -> Data[PreviewWire]:
        """The next firings of an expression that is not saved yet, and what the clock does to them."""
        query = PREVIEW_EXPRESSION.read_query(request.scope["query_string"])
        preview = services_of(request).schedules.preview_of(query.cron, query.timezone, query.count)
        return Data(preview_wire(preview))

    @get(
        "/{schedule_id:str}",
        guards=[READS],
        opt=Operation("Get a schedule", tag=_TAG, errors=(404, 422)).opt,
    )
    async def get_schedule(self, request: AvaRequest, schedule_id: FromPath[str]) -> Data[ScheduleWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        schedules = services_of(request).schedules
        return Data(schedule_wire(await schedules.get(request.user.tenant_id, _known(schedule_id))))

    @patch(
        "/{schedule_id:str}",
        guards=[WRITES],
        opt=Operation(
            "Update a schedule",
            tag=_TAG,
            body=ChangeScheduleBody,
            errors=(404, 409, 422),
            example={"enabled": False},
        ).opt,
    )
    async def change_schedule(self, request: AvaRequest, schedule_id: FromPath[str]) -> Data[ScheduleWire]:
        """A new expression, zone or jitter, a pause and a resume set its clock anew, from now on."""
        NO_QUERY.read_query(request.scope["query_string"])
        body = await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)
        changes = schedule_changes(CHANGE_SCHEDULE.read_json(body))
        schedules = services_of(request).schedules
        return Data(schedule_wire(await schedules.change(request.user, _known(schedule_id), changes)))

    @delete(
        "/{schedule_id:str}",
        guards=[WRITES],
        opt=Operation("Delete a schedule", tag=_TAG, errors=(404, 422)).opt,
    )
    async def delete_schedule(self, request: AvaRequest, schedule_id: FromPath[str]) -> None:
        """For good, with its ticks. The jobs that it made go on."""
        NO_QUERY.read_query(request.scope["query_string"])
        await services_of(request).schedules.delete(request.user, _known(schedule_id))

    @get(
        "/{schedule_id:str}/ticks",
        guards=[READS],
        opt=Operation("List the ticks of a schedule", tag=_TAG, query=TickQuery, errors=(404, 422)).opt,
    )
    async def list_ticks(self, request: AvaRequest, schedule_id: FromPath[str]) -> Page[TickWire]:
        """What became of every firing that was expected, the latest first."""
        query = LIST_TICKS.read_query(request.scope["query_string"])
        page = read_page(query, "tck")
        status = None if query.status is UNSET else query.status
        schedules = services_of(request).schedules
        listing = await schedules.ticks(request.user.tenant_id, _known(schedule_id), status, page)
        return Page([tick_wire(tick) for tick in listing.rows], show_page(listing, page))

    @get(
        "/{schedule_id:str}/preview",
        guards=[READS],
        opt=Operation("Preview a schedule", tag=_TAG, query=PreviewQuery, errors=(404, 409, 422)).opt,
    )
    async def preview_schedule(self, request: AvaRequest, schedule_id: FromPath[str]) -> Data[PreviewWire]:
        """Its next firings, and what the clock of its zone does to them."""
        query = PREVIEW.read_query(request.scope["query_string"])
        schedules = services_of(request).schedules
        preview = await schedules.preview(request.user.tenant_id, _known(schedule_id), query.count)
        return Data(preview_wire(preview))
