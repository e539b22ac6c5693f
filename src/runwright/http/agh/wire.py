"""How the AGH API shows jobs, triggers, runs and what belongs to them.

What is empty, zero or null is left out, but for fields without a default here. Times are RFC 3339 in
UTC, without zeros at the end of their fraction.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-04-11T12:00:00Z"])]


class RetryWire(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a failed attempt."""

    strategy: Annotated[str, Meta(description="`none` or `backoff`.")]
    max_retries: int
    base_delay: Annotated[str, Meta(description="The first wait; each next one is twice as long.")]


class FireLimitWire(msgspec.Struct, frozen=True, kw_only=True):
    """How often it may fire within a rolling window."""

    max: int
    window: Annotated[str, Meta(examples=["1h"])]


class ScheduleWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job fires."""

    mode: Annotated[str, Meta(description="`cron`, `every` or `at`.")]
    expr: str = ""
    interval: str = ""
    time: str = ""


class OwnerWire(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to do a task."""

    kind: str
    ref: str


class TaskSpecWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The task that a job makes."""

    title: str = ""
    description: str = ""
    network_channel: str = ""
    owner: OwnerWire | None = None


class SchedulerWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a job's clock stands."""

    job_id: str
    registered: bool
    next_run_at: Time = ""
    last_run_at: Time = ""
    last_scheduled_at: Time = ""
    last_fire_id: str = ""
    catch_up_policy: Annotated[str, Meta(description="`skip_missed`, `run_once` or `run_all`.")] = ""
    misfire_grace_seconds: Annotated[int, Meta(description="A fire later than this is missed.")] = 0
    consecutive_resume_failures: int = 0
    last_misfire_at: Time = ""
    misfire_count: int = 0
    updated_at: Time = ""


class JobWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt that the clock fires."""

    id: str
    scope: str
    workspace_id: str = ""
    name: str
    agent_name: str
    prompt: str
    schedule: ScheduleWire | None = None
    task: TaskSpecWire | None = None
    enabled: bool
    retry: RetryWire
    fire_limit: FireLimitWire
    source: str
    next_run: Time = ""
    scheduler: SchedulerWire | None = None
    created_at: Time
    updated_at: Time


class TriggerWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt that an event or a webhook fires."""

    id: str
    scope: str
    workspace_id: str = ""
    name: str
    agent_name: str
    prompt: str
    event: str
    filter: dict[str, str] = {}
    enabled: bool
    retry: RetryWire
    fire_limit: FireLimitWire
    source: str
    webhook_id: str = ""
    endpoint_slug: str = ""
    webhook_signature: Annotated[
        str, Meta(description="Whose form of signature, where not our own: github, stripe or standard.")
    ] = ""
    webhook_secret_present: bool
    webhook_secret_hash: Annotated[str, Meta(description="Of the secret's name, not of the secret.")] = ""
    created_at: Time
    updated_at: Time


class RunWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One firing."""

    id: str
    job_id: str = ""
    trigger_id: str = ""
    session_id: Annotated[str, Meta(description="The job or the execution that the agent works in.")] = ""
    task_id: str = ""
    task_run_id: str = ""
    status: Annotated[str, Meta(description="scheduled, running, delegated, completed, failed or canceled.")]
    attempt: int
    fire_id: str = ""
    scheduled_at: Time = ""
    started_at: Time = ""
    ended_at: Time = ""
    error: str = ""
    delivery_error: str = ""
    delivery_error_at: Time = ""
    warnings: Annotated[list[str], Meta(description="What was not as its author may have meant.")] = []


class AttemptWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of a run."""

    attempt: int
    status: str
    session_id: str = ""
    started_at: Time
    ended_at: Time = ""
    error: str = ""


class TaskWire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that somebody is to do."""

    id: str
    run_id: str
    task_run_id: str
    job_id: str
    scope: str
    workspace_id: str = ""
    title: str
    description: str = ""
    network_channel: str = ""
    owner: OwnerWire | None = None
    status: Annotated[str, Meta(description="open, in_progress, done or cancelled.")]
    created_at: Time
    updated_at: Time


class JobEnvelope(msgspec.Struct, frozen=True):
    """One job."""

    job: JobWire


class JobList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Jobs by name."""

    jobs: list[JobWire]
    next_cursor: Annotated[str, Meta(description="Where there are more: `cursor` of the next page.")] = ""


class TriggerEnvelope(msgspec.Struct, frozen=True):
    """One trigger."""

    trigger: TriggerWire


class TriggerList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Triggers by name."""

    triggers: list[TriggerWire]
    next_cursor: Annotated[str, Meta(description="Where there are more: `cursor` of the next page.")] = ""


class RunEnvelope(msgspec.Struct, frozen=True):
    """One run."""

    run: RunWire


class DeliveryResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a webhook delivery."""

    matched: Annotated[int, Meta(description="How many triggers wanted it: 0 or 1.")]
    runs: list[RunWire] = []


class DeliveryEnvelope(msgspec.Struct, frozen=True):
    """What became of a webhook delivery."""

    result: DeliveryResult


class RunList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Runs, the latest first."""

    runs: list[RunWire]
    next_cursor: Annotated[str, Meta(description="Where there are more: `cursor` of the next page.")] = ""


class AttemptList(msgspec.Struct, frozen=True):
    """The attempts of a run, the first one first."""

    attempts: list[AttemptWire]


class TaskEnvelope(msgspec.Struct, frozen=True):
    """One task."""

    task: TaskWire


class TaskList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks, the latest first."""

    tasks: list[TaskWire]
    next_cursor: Annotated[str, Meta(description="Where there are more: `cursor` of the next page.")] = ""


class EventWire(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was published."""

    id: str
    event: str
    created_at: Time
    replayed: Annotated[bool, Meta(description="An earlier call with the same idempotency key did it.")]


class EventEnvelope(msgspec.Struct, frozen=True):
    """One event."""

    event: EventWire
