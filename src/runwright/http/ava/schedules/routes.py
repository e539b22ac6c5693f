"""The routes of schedules."""

from typing import Final

from runwright.core.ids import BackfillId, ScheduleId
from runwright.http.ava.authorization import READS, RUNS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, filter_of, known_id, optional, page_of, read_page
from runwright.http.ava.jobs.schemas import JobOut, idempotency_of, job_out
from runwright.http.ava.schedules.schemas import (
    CHANGE_SCHEDULE,
    CREATE_SCHEDULE,
    LIST_SCHEDULES,
    LIST_TICKS,
    PREVIEW,
    PREVIEW_EXPRESSION,
    START_BACKFILL,
    BackfillIn,
    BackfillOut,
    ExpressionQuery,
    PreviewOut,
    PreviewQuery,
    ScheduleIn,
    ScheduleOut,
    SchedulePatch,
    ScheduleQuery,
    TickOut,
    TickQuery,
    backfill_out,
    backfill_window,
    new_schedule,
    plan_out,
    preview_out,
    schedule_changes,
    schedule_out,
    tick_out,
)
from runwright.http.request import Request
from runwright.http.response import Reply
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
    """Creates a schedule; each firing submits a job with its input.

    Daylight saving time: a local time that does not exist fires once, at the next instant that
    does; one that occurs twice fires the first time only.
    """
    new = new_schedule(await request.body(CREATE_SCHEDULE))
    return Data(schedule_out(await request.services.schedules.create(request.caller, new)))


@ROUTES.add("GET", "/preview", READS, "Preview an expression", query=ExpressionQuery, errors=(422,))
async def preview_expression(request: Request) -> Data[PreviewOut]:
    """Returns the next firings of an expression without saving it, and what its time zone does to them."""
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
    """Changing the expression, time zone or jitter, pausing and resuming reset its cursor to now."""
    changes = schedule_changes(await request.body(CHANGE_SCHEDULE))
    schedules = request.services.schedules
    return Data(schedule_out(await schedules.change(request.caller, _schedule_id(request), changes)))


@ROUTES.add("DELETE", "/{schedule_id}", WRITES, "Delete a schedule", errors=(404, 422))
async def delete_schedule(request: Request) -> None:
    """Deletes the schedule and its ticks permanently. Jobs that it has submitted are not affected."""
    await request.services.schedules.delete(request.caller, _schedule_id(request))


@ROUTES.add(
    "GET", "/{schedule_id}/ticks", READS, "List the ticks of a schedule", query=TickQuery, errors=(404, 422)
)
async def list_ticks(request: Request) -> Page[TickOut]:
    """Returns the outcome of every expected firing, latest first."""
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
    """Returns its next firings, and what its time zone does to them."""
    count = request.query(PREVIEW).count
    schedules = request.services.schedules
    return Data(preview_out(await schedules.preview(request.tenant_id, _schedule_id(request), count)))


@ROUTES.add(
    "POST",
    "/{schedule_id}/run",
    RUNS,
    "Fire a schedule now",
    errors=(404, 409, 422),
    idempotent=True,
)
async def run_schedule(request: Request) -> Reply[Data[JobOut]]:
    """Submits one job, also if the schedule is paused, and records a tick with the origin `manual`.

    The next firing is not changed.
    """
    schedule_id = _schedule_id(request)
    idempotency = idempotency_of(request, f"run {schedule_id}")
    job, replayed = await request.services.schedules.run(request.caller, schedule_id, idempotency)
    return Reply(Data(job_out(job)), 200 if replayed else 201)


@ROUTES.add(
    "POST",
    "/{schedule_id}/backfill",
    RUNS,
    "Backfill a schedule",
    status=202,
    body=BackfillIn,
    errors=(404, 409, 422),
    idempotent=True,
    unchanged="The number of firings, for a dry run",
    example={"from": "-24h", "dry_run": True},
)
async def start_backfill(request: Request) -> Reply[Data[BackfillOut]]:
    """Fires, oldest first, what has not fired in the window, at most 10,000 times; no time fires twice.

    With `dry_run`, only returns the number of these firings, the first and the last (200).
    """
    schedule_id, backfills = _schedule_id(request), request.services.backfills
    await backfills.require(request.tenant_id, schedule_id)
    body = await request.body(START_BACKFILL)
    begin, end = backfill_window(body, request.services.clock())
    idempotency = idempotency_of(request, f"backfill {schedule_id} {body.from_} {body.to}")
    if body.dry_run:
        plan = await backfills.plan(request.tenant_id, schedule_id, begin, end)
        return Reply(Data(plan_out(schedule_id, begin, end, plan)), 200)
    backfill = await backfills.start(request.caller, schedule_id, begin, end, idempotency)
    return Reply(Data(backfill_out(backfill)), 202)


@ROUTES.add("GET", "/{schedule_id}/backfills/{backfill_id}", READS, "Get a backfill", errors=(404, 422))
async def get_backfill(request: Request) -> Data[BackfillOut]:
    """Poll until `status` is completed or cancelled."""
    schedule_id, backfill_id = _schedule_id(request), _backfill_id(request)
    return Data(
        backfill_out(await request.services.backfills.get(request.tenant_id, schedule_id, backfill_id))
    )


@ROUTES.add(
    "POST",
    "/{schedule_id}/backfills/{backfill_id}/cancel",
    RUNS,
    "Stop a backfill",
    status=200,
    errors=(404, 409, 422),
)
async def cancel_backfill(request: Request) -> Data[BackfillOut]:
    """Jobs that it has submitted are not affected."""
    schedule_id, backfill_id = _schedule_id(request), _backfill_id(request)
    return Data(
        backfill_out(await request.services.backfills.cancel(request.caller, schedule_id, backfill_id))
    )


def _backfill_id(request: Request) -> BackfillId:
    return BackfillId(known_id("bfl", "backfill", request.params["backfill_id"]))


def _schedule_id(request: Request) -> ScheduleId:
    return ScheduleId(known_id("sch", "schedule", request.params["schedule_id"]))
