"""Tools about schedules, deliveries and figures, and those that publish and fire."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from runwright.client.session import new_idempotency_key
from runwright.mcp.answers import Answer, rows_that_fit
from runwright.mcp.grants import Grant
from runwright.mcp.lists import PageParameters, list_page
from runwright.mcp.shown import plain, shown
from runwright.mcp.tools import TOOLS, Invocation, Parameters, Said, ToolError
from runwright.mcp.workers import Worker

Cron = Annotated[str, Meta(max_length=200, description="A cron expression with five fields.")]
Timezone = Annotated[str, Meta(max_length=100, description="An IANA name, as `Europe/Berlin`.")]

_SCHEDULE: Final = (
    "id",
    "name",
    "worker_id",
    "cron",
    "timezone",
    "input",
    "enabled",
    "next_run_at",
    "last_run_at",
    "last_job_id",
    "missed_count",
)
_DELIVERY: Final = ("id", "event_type", "event", "status", "attempts", "created_at", "completed_at")


class Stats(Parameters, frozen=True, kw_only=True):
    """Which figures."""

    worker: Worker | UnsetType = UNSET
    days: Annotated[int, Meta(ge=1, le=90)] = 7


@TOOLS.add("Figures of jobs")
async def stats(call: Invocation, parameters: Stats) -> Said:
    """How the jobs of the last days ended (counts, failures by code, durations), and how many wait now."""
    rows: list[Any] = []
    if parameters.worker is UNSET:
        report, queue = await call.api.analytics.report(days=parameters.days), await call.api.queues.all()
        live: dict[str, Any] = {"queued": queue.total_queued, "running": queue.total_running}
        workers = await call.api.analytics.by_worker(days=parameters.days, limit=_MOST_WORKERS)
        rows = [{"worker": one.worker_name} | shown(one, _WORKER) for one in workers.workers]
    else:
        report = await call.api.analytics.worker(parameters.worker, days=parameters.days)
        one = await call.api.queues.get(parameters.worker)
        live = {"queued": one.queued, "running": one.running}
    data = {"days": report.period_days, "jobs": shown(report.jobs, _TOTALS), "now": live}
    return Said(
        f"{report.jobs.total} jobs ended in {report.period_days} days.",
        Answer(data=data | ({"by_worker": rows[: rows_that_fit(rows)]} if rows else {})),
    )


_MOST_WORKERS: Final = 100
_WORKER: Final = (
    "total",
    "failed",
    "success_rate",
    "p50_duration_ms",
    "p95_duration_ms",
    "queued",
    "running",
    "oldest_due_at",
)
_TOTALS: Final = (
    "total",
    "completed",
    "failed",
    "cancelled",
    "success_rate",
    "avg_duration_ms",
    "p50_duration_ms",
    "p95_duration_ms",
    "p99_duration_ms",
    "by_trigger",
    "failures_by_code",
)


class ListSchedules(PageParameters, frozen=True, kw_only=True):
    """Which schedules."""

    worker_id: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


@TOOLS.add("List schedules")
async def list_schedules(call: Invocation, parameters: ListSchedules) -> Said:
    """List the schedules that start jobs, with their next firings."""
    which = parameters.given("worker_id", "enabled")
    return await list_page(
        "schedules", lambda rows: call.api.schedules.list(**which, per_page=rows), parameters, _SCHEDULE
    )


class PreviewCron(Parameters, frozen=True, kw_only=True):
    """Which expression."""

    cron: Cron
    timezone: Timezone = "UTC"
    count: Annotated[int, Meta(ge=1, le=50)] = 5


@TOOLS.add("Preview a cron expression")
async def preview_cron(call: Invocation, parameters: PreviewCron) -> Said:
    """When a cron expression would fire next, in a time zone, and what it means."""
    found = await call.api.schedules.preview_expression(
        parameters.cron, parameters.timezone, parameters.count
    )
    return Said("The next firings.", Answer(data=plain(found)))


class SetSchedule(Parameters, frozen=True, kw_only=True):
    """Which schedule, and what it shall be."""

    worker: Worker
    cron: Cron
    timezone: Timezone = "UTC"
    schedule_id: (
        Annotated[str, Meta(description="The schedule to change; without it one is created.")] | UnsetType
    ) = UNSET
    name: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    input: dict[str, Any] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


@TOOLS.add("Set a schedule", Grant.DEPLOY, destructive=True)
async def set_schedule(call: Invocation, parameters: SetSchedule) -> Said:
    """Create a schedule that starts a worker's jobs, or change one."""
    options = parameters.given("name", "input", "enabled")
    if parameters.schedule_id is UNSET:
        made = await call.api.schedules.create(
            parameters.worker, parameters.cron, parameters.timezone, **options
        )
        return Said(f"Schedule {made.id} was created.", Answer(data=shown(made, _SCHEDULE)))
    before = await call.api.schedules.get(parameters.schedule_id)
    worker = await call.api.workers.get(parameters.worker)
    if before.worker_id != worker.id:
        raise ToolError("This schedule is of another worker, which cannot be changed. Create a new one.")
    changed = await call.api.schedules.update(
        before.id, cron=parameters.cron, timezone=parameters.timezone, **options
    )
    return Said(f"Schedule {changed.id} was changed.", Answer(data=shown(changed, _SCHEDULE)))


class ListDeliveries(PageParameters, frozen=True, kw_only=True):
    """Which deliveries."""

    webhook_id: Annotated[str, Meta(description="Without it the webhooks are listed.")] | UnsetType = UNSET
    status: Annotated[str, Meta(description="pending, delivered or abandoned.")] | UnsetType = UNSET


@TOOLS.add("List webhook deliveries")
async def list_deliveries(call: Invocation, parameters: ListDeliveries) -> Said:
    """List what was sent to a webhook, newest first; without `webhook_id` the webhooks themselves."""
    if parameters.webhook_id is UNSET:
        webhooks = [shown(each, ("id", "url", "events", "status")) async for each in call.api.webhooks.list()]
        return Said(f"{len(webhooks)} webhooks.", Answer(data=webhooks[: rows_that_fit(webhooks)]))
    status = None if parameters.status is UNSET else parameters.status
    webhook_id = parameters.webhook_id
    return await list_page(
        "deliveries", lambda _rows: call.api.deliveries.list(webhook_id, status=status), parameters, _DELIVERY
    )


class PublishEvent(Parameters, frozen=True, kw_only=True):
    """Which event."""

    type: Annotated[str, Meta(max_length=200, description="`custom.…`")]
    payload: dict[str, Any] | UnsetType = UNSET
    idempotency_key: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


@TOOLS.add("Publish an event", Grant.RUN, destructive=True)
async def publish_event(call: Invocation, parameters: PublishEvent) -> Said:
    """Publish a custom event; webhooks, agents and automations that subscribe to it get it."""
    body = {"type": parameters.type, "payload": {} if parameters.payload is UNSET else parameters.payload}
    key = None if parameters.idempotency_key is UNSET else parameters.idempotency_key
    answer = await call.api.request("POST /v1/ava/events", json=body, headers=new_idempotency_key(key))
    return Said("The event was published.", Answer(data=answer.json["data"]))


class TriggerAutomation(Parameters, frozen=True, kw_only=True):
    """Which automation."""

    job_id: (
        Annotated[str, Meta(description="The id of an automation's job; without it they are listed.")]
        | UnsetType
    ) = UNSET


@TOOLS.add("Run an automation now", Grant.RUN, destructive=True)
async def trigger_automation(call: Invocation, parameters: TriggerAutomation) -> Said:
    """Fire an automation's job now, and return its run; without `job_id` list the jobs."""
    if parameters.job_id is UNSET:
        jobs = [
            shown(job, ("id", "name", "agent_name", "enabled", "next_run"))
            async for job in call.api.automations.jobs.list()
        ]
        return Said(f"{len(jobs)} automations.", Answer(data=jobs[: rows_that_fit(jobs)]))
    run = await call.api.automations.jobs.trigger(parameters.job_id)
    return Said(f"Run {run.id} is {run.status}.", Answer(data=plain(run)))
