"""The routes of schedules."""

from typing import Final

from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, filter_of, known_id, optional, page_of, read_page
from runwright.http.ava.schedules.schemas import (
    CHANGE_SCHEDULE,
    CREATE_SCHEDULE,
    LIST_SCHEDULES,
    LIST_TICKS,
    PREVIEW,
    PREVIEW_EXPRESSION,
    ExpressionQuery,
    PreviewOut,
    PreviewQuery,
    ScheduleIn,
    ScheduleOut,
    SchedulePatch,
    ScheduleQuery,
    TickOut,
    TickQuery,
    new_schedule,
    preview_out,
    schedule_changes,
    schedule_out,
    tick_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.schedules.model import ScheduleFilter

ROUTES: Final = Routes(AVA, "/v1/ava/schedules", tag="Schedules")


@ROUTES.add("GET", "", READS, "List schedules", query=ScheduleQuery, errors=(422,))
async def list_schedules(request: Request) -> Page[ScheduleOut]:
    query = request.query(LIST_SCHEDULES)
    page = read_page(query, "sch")
    listing = await request.services.schedules.list(
        request.tenant_id, filter_of(ScheduleFilter, query, name_contains=query.q or None), page
    )
    return page_of(listing, page, schedule_out)


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Create a schedule",
    body=ScheduleIn,
    errors=(404, 409, 422),
    example={
        "worker_id": "wkr_01jd9x3v7m0000000000000000",
        "name": "Weekday digest",
        "cron": "0 9 * * MON-FRI",
        "timezone": "Europe/Berlin",
        "input": {"name": "Ada"},
    },
)
async def create_schedule(request: Request) -> Data[ScheduleOut]:
    """Each firing makes a job with the schedule's input.

    Daylight saving time: a local time that does not exist fires once, at the next instant that
    does; one that occurs twice fires the first time only.
    """
    new = new_schedule(await request.body(CREATE_SCHEDULE))
    return Data(schedule_out(await request.services.schedules.create(request.caller, new)))


@ROUTES.add("GET", "/preview", READS, "Preview an expression", query=ExpressionQuery, errors=(422,))
async def preview_expression(request: Request) -> Data[PreviewOut]:
    """The next firings of an expression that is not saved yet, and what the clock does to them."""
    query = request.query(PREVIEW_EXPRESSION)
    schedules = request.services.schedules
    return Data(preview_out(await schedules.preview_of(query.cron, query.timezone, query.count)))


@ROUTES.add("GET", "/{schedule_id}", READS, "Get a schedule", errors=(404, 422))
async def get_schedule(request: Request) -> Data[ScheduleOut]:
    return Data(schedule_out(await request.services.schedules.get(request.tenant_id, _schedule_id(request))))


@ROUTES.add(
    "PATCH",
    "/{schedule_id}",
    WRITES,
    "Update a schedule",
    body=SchedulePatch,
    errors=(404, 409, 422),
    example={"enabled": False},
)
async def change_schedule(request: Request) -> Data[ScheduleOut]:
    """A new expression, zone or jitter, a pause and a resume set its clock anew, from now on."""
    changes = schedule_changes(await request.body(CHANGE_SCHEDULE))
    schedules = request.services.schedules
    return Data(schedule_out(await schedules.change(request.caller, _schedule_id(request), changes)))


@ROUTES.add("DELETE", "/{schedule_id}", WRITES, "Delete a schedule", errors=(404, 422))
async def delete_schedule(request: Request) -> None:
    """For good, with its ticks. The jobs that it made go on."""
    await request.services.schedules.delete(request.caller, _schedule_id(request))


@ROUTES.add(
    "GET", "/{schedule_id}/ticks", READS, "List the ticks of a schedule", query=TickQuery, errors=(404, 422)
)
async def list_ticks(request: Request) -> Page[TickOut]:
    """The outcome of every expected firing, the latest first."""
    query = request.query(LIST_TICKS)
    page = read_page(query, "tck")
    listing = await request.services.schedules.ticks(
        request.tenant_id, _schedule_id(request), optional(query.status), page
    )
    return page_of(listing, page, tick_out)


@ROUTES.add(
    "GET",
    "/{schedule_id}/preview",
    READS,
    "Preview a schedule",
    query=PreviewQuery,
    errors=(404, 409, 422),
)
async def preview_schedule(request: Request) -> Data[PreviewOut]:
    """Its next firings, and what the clock of its zone does to them."""
    count = request.query(PREVIEW).count
    schedules = request.services.schedules
    return Data(preview_out(await schedules.preview(request.tenant_id, _schedule_id(request), count)))


def _schedule_id(request: Request) -> str:
    return known_id("sch", "schedule", request.params["schedule_id"])
