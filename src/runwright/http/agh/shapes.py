"""How automations, runs and tasks become the shapes of the wire."""

import hashlib
from datetime import datetime
from typing import Final

from runwright.automations.definitions import Shown
from runwright.automations.model import (
    WEBHOOK_EVENT,
    Attempt,
    Automation,
    FireLimit,
    Kind,
    Retry,
    Run,
    RunStatus,
    ScheduleSpec,
    Task,
    TaskOwner,
    TaskSpec,
    time_text,
)
from runwright.http.agh.wire import (
    AttemptWire,
    FireLimitWire,
    JobWire,
    OwnerWire,
    RetryWire,
    RunWire,
    SchedulerWire,
    ScheduleWire,
    TaskSpecWire,
    TaskWire,
    TriggerWire,
)
from runwright.schedules.store.automation_schedules import ClockState
from runwright.schedules.tick_policy import CatchUp

POLICIES: Final = {
    CatchUp.NONE: "skip_missed",
    CatchUp.LAST: "run_once",
    CatchUp.ALL: "run_all",
}
STATUSES: Final = {status: status.value for status in RunStatus} | {RunStatus.CANCELLED: "canceled"}


def time_or_empty(at: datetime | None) -> str:
    return "" if at is None else time_text(at)


def job_wire(shown: Shown) -> JobWire:
    one, clock = shown.automation, shown.clock
    return JobWire(
        id=one.id,
        scope=one.scope,
        workspace_id=one.workspace_id,
        name=one.name,
        agent_name=one.agent_name,
        prompt=one.prompt,
        schedule=None if one.details.schedule is None else _schedule_wire(one.details.schedule),
        task=None if one.details.task is None else _task_spec_wire(one.details.task),
        enabled=one.enabled,
        retry=_retry_wire(one.details.retry),
        fire_limit=_limit_wire(one.fire_limit),
        source=one.source.value,
        next_run="" if clock is None else time_or_empty(clock.next_run_at),
        scheduler=None if clock is None else _scheduler_wire(one, clock),
        created_at=time_text(one.created_at),
        updated_at=time_text(one.updated_at),
    )


def _scheduler_wire(one: Automation, clock: ClockState) -> SchedulerWire:
    run_id = clock.last_run_id or ""
    return SchedulerWire(
        job_id=one.id,
        registered=True,
        next_run_at=time_or_empty(clock.next_run_at),
        last_run_at=time_or_empty(clock.last_run_at),
        last_scheduled_at=time_or_empty(clock.last_tick_at),
        last_fire_id=run_id.replace("run_", "fire_", 1),
        catch_up_policy=POLICIES[clock.catch_up],
        misfire_grace_seconds=clock.misfire_grace_seconds,
        last_misfire_at=time_or_empty(clock.last_misfire_at),
        misfire_count=clock.misfires,
        updated_at=time_or_empty(clock.moved_at),
    )


def _schedule_wire(spec: ScheduleSpec) -> ScheduleWire:
    return ScheduleWire(mode=spec.mode, expr=spec.expr, interval=spec.interval, time=spec.time)


def _retry_wire(retry: Retry) -> RetryWire:
    return RetryWire(strategy=retry.strategy, max_retries=retry.max_retries, base_delay=retry.base_delay)


def _limit_wire(limit: FireLimit) -> FireLimitWire:
    return FireLimitWire(max=limit.max, window=limit.window)


def _owner_wire(owner: TaskOwner | None) -> OwnerWire | None:
    return None if owner is None else OwnerWire(kind=owner.kind, ref=owner.ref)


def _task_spec_wire(task: TaskSpec) -> TaskSpecWire:
    return TaskSpecWire(
        title=task.title,
        description=task.description,
        network_channel=task.network_channel,
        owner=_owner_wire(task.owner),
    )


def trigger_wire(shown: Shown) -> TriggerWire:
    one = shown.automation
    webhook, ref = one.event == WEBHOOK_EVENT, one.details.secret_ref
    return TriggerWire(
        id=one.id,
        scope=one.scope,
        workspace_id=one.workspace_id,
        name=one.name,
        agent_name=one.agent_name,
        prompt=one.prompt,
        event=one.event,
        filter=one.details.filter,
        enabled=one.enabled,
        retry=_retry_wire(one.details.retry),
        fire_limit=_limit_wire(one.fire_limit),
        source=one.source.value,
        webhook_id=one.webhook_id,
        endpoint_slug=one.endpoint_slug,
        webhook_signature="" if one.details.signature == "agh" else one.details.signature,
        webhook_secret_present=shown.has_secret,
        webhook_secret_hash=f"sha256:{hashlib.sha256(ref.encode()).hexdigest()}" if webhook and ref else "",
        created_at=time_text(one.created_at),
        updated_at=time_text(one.updated_at),
    )


def run_wire(run: Run) -> RunWire:
    of_job = run.kind is Kind.JOB
    return RunWire(
        id=run.id,
        job_id=run.automation_id if of_job else "",
        trigger_id="" if of_job else run.automation_id,
        session_id=run.session_id or "",
        task_id=run.task_id or "",
        task_run_id=run.task_run_id or "",
        status=STATUSES[run.status],
        attempt=run.attempt,
        fire_id=run.fire_id or "",
        scheduled_at=time_or_empty(run.scheduled_at),
        started_at=time_text(run.started_at),
        ended_at=time_or_empty(run.ended_at),
        error=run.error or "",
        delivery_error=run.delivery_error or "",
        delivery_error_at=time_or_empty(run.delivery_error_at),
        warnings=list(run.warnings),
    )


def attempt_wire(attempt: Attempt) -> AttemptWire:
    return AttemptWire(
        attempt=attempt.attempt,
        status=STATUSES[attempt.status],
        session_id=attempt.session_id or "",
        started_at=time_text(attempt.started_at),
        ended_at=time_or_empty(attempt.ended_at),
        error=attempt.error or "",
    )


def task_wire(task: Task) -> TaskWire:
    return TaskWire(
        id=task.id,
        run_id=task.run_id,
        task_run_id=task.task_run_id,
        job_id=task.automation_id,
        scope=task.scope,
        workspace_id=task.workspace_id,
        title=task.spec.title,
        description=task.spec.description,
        network_channel=task.spec.network_channel,
        owner=_owner_wire(task.spec.owner),
        status=task.status,
        created_at=time_text(task.created_at),
        updated_at=time_text(task.updated_at),
    )
