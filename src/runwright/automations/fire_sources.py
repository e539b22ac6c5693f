"""Create runs for ticks of schedules and for events, in the transaction that consumes them."""

import asyncio
import hashlib
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.event_subscriptions import SUBSCRIBER_PREFIX, context_of, event_name
from runwright.automations.ids import random_id
from runwright.automations.model import Automation, RunOverlap, RunStatus, TriggerDefinition, time_text
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.definitions import fetch_overlaps, fetch_triggers
from runwright.automations.store.firing import Fire, FireAnswer, Limited, fetch_job_event_data, fire
from runwright.automations.store.queue import count_live_runs
from runwright.core.event_filters import compile_filter
from runwright.core.job_state import Trigger
from runwright.core.template_context import Json, TemplateContext
from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.events.publish import MAX_DEPTH, too_deep
from runwright.schedules.firing import DueTick, TickResult
from runwright.schedules.tick_policy import TickReason

MOST_WAITING: Final = 100
"""How many runs of one job may wait for each other."""

_TOO_DEEP: Final = (
    f"automation: loop protection: {MAX_DEPTH} agents and automations in a row led to this event"
)


async def create_runs(
    db: PoolConnection, ticks: Sequence[DueTick], now: datetime, *, settings: AutomationSettings
) -> Sequence[TickResult]:
    """Create a run for each tick of an automation's schedule: the tick handler of automations.

    A tick during a run of a job that skips gets none, nor does one behind `MOST_WAITING` runs that wait.
    A run over the fire limit is recorded as cancelled, and the schedule is postponed until the limit allows
    another. While automations are disabled, ticks are consumed without a run.
    """
    if not settings.enabled:
        return [TickResult(None, TickReason.AUTOMATIONS_OFF) for _ in ticks]
    firing = await _without_overlaps(db, ticks)
    answers = iter(await fire(db, [_tick_fire(tick) for tick in firing], now))
    taken = {id(tick) for tick in firing}
    return [
        _tick_result(next(answers)) if id(tick) in taken else TickResult(None, TickReason.OVERLAP)
        for tick in ticks
    ]


async def _without_overlaps(db: PoolConnection, ticks: Sequence[DueTick]) -> list[DueTick]:
    """Return the ticks that fire: of jobs that skip while a run is live, one; else up to `MOST_WAITING`."""
    ids = sorted({tick.schedule.id for tick in ticks})
    live = await count_live_runs(db, ids=ids, limit=MOST_WAITING)
    overlaps = await fetch_overlaps(db, ids=ids)
    most = {RunOverlap.SKIP: 1, RunOverlap.QUEUE: MOST_WAITING}
    firing = []
    for tick in ticks:
        name = tick.schedule.id
        if live.get(name, 0) < most.get(overlaps.get(name, RunOverlap.ALLOW), sys.maxsize):
            live[name] = live.get(name, 0) + 1
            firing.append(tick)
    return firing


def _tick_result(answer: FireAnswer) -> TickResult:
    if isinstance(answer, Limited):
        return TickResult(None, TickReason.FIRE_LIMIT, answer.error.retry_at)
    if answer is None:  # it is being deleted
        return TickResult(None, TickReason.SCHEDULE_BROKEN)
    return TickResult(answer.id)


def _tick_fire(tick: DueTick) -> Fire:
    text = f"{tick.schedule.id}|{time_text(tick.scheduled_for)}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    return Fire(
        automation_id=tick.schedule.id,
        run_id=f"run_{digest}",
        fire_id=f"fire_{digest}",
        cause=Trigger.SCHEDULED,
        scheduled_at=tick.scheduled_for,
        limited_as=RunStatus.CANCELLED,
        in_turn=True,
    )


async def fire_events(
    db: PoolConnection, pairs: Sequence[tuple[Event, str]], now: datetime, *, settings: AutomationSettings
) -> int:
    """Create a run for each (event, subscriber) whose trigger matches; return the number of runs.

    The router calls this in the transaction that removes the events from its queue. A run over the fire limit
    is not created; one whose ancestry is too long is created as cancelled. While automations are disabled,
    no runs are created.
    """
    if not settings.enabled:
        return 0
    triggers = await fetch_triggers(db, ids=sorted({_trigger_id(subscriber) for _, subscriber in pairs}))
    job_data = await fetch_job_event_data(
        db, ids=sorted({event.subject_id for event, _ in pairs if event.type.startswith("job.")})
    )
    fires, contexts = [], _EventContexts(job_data)
    for event, subscriber in pairs:
        one = triggers.get(_trigger_id(subscriber))
        if one is None or event_name(event) != one.trigger.event:
            continue
        if matches(one.trigger, contexts.context(event)):
            fires.append(_event_fire(one, event, contexts.encoded(event)))
        await asyncio.sleep(0)  # an event and a filter each take milliseconds at most
    fires.sort(key=lambda one: one.automation_id)
    answers = await fire(db, fires, now) if fires else ()
    return sum(answer is not None and not isinstance(answer, Limited) for answer in answers)


class _EventContexts:
    """The template contexts of events, each decoded and encoded once for all triggers."""

    def __init__(self, job_data: Mapping[str, dict[str, Json]]) -> None:
        self._job_data = job_data
        self._event: Event | None = None
        self._context: TemplateContext | None = None
        self._encoded: bytes | None = None

    def context(self, event: Event) -> TemplateContext:
        """Return the context of an event; the latest one is kept."""
        if self._context is None or self._event is not event:
            self._event, self._encoded = event, None
            self._context = context_of(event, self._job_data.get(event.subject_id))
        return self._context

    def encoded(self, event: Event) -> bytes:
        """Return the context as JSON text."""
        context = self.context(event)
        if self._encoded is None:
            self._encoded = msgspec.json.encode(context)
        return self._encoded


def _trigger_id(subscriber_id: str) -> str:
    return subscriber_id.removeprefix(SUBSCRIBER_PREFIX)


def matches(trigger: TriggerDefinition, context: TemplateContext) -> bool:
    """Return whether the scope, the workspace and every filter condition of a trigger match."""
    if (context.scope, context.workspace_id) != (trigger.scope, trigger.workspace_id):
        return False
    return compile_filter(trigger.filter).matches(context)


def _event_fire(one: Automation, event: Event, context: bytes) -> Fire:
    return Fire(
        automation_id=one.id,
        run_id=random_id("run"),
        cause=Trigger.EVENT,
        context=context,
        ancestry=event.ancestry,
        refused=_TOO_DEEP if too_deep(event.ancestry) else None,
    )


def manual_fire(automation_id: str, ancestry: Sequence[str] = ()) -> Fire:
    """Return the fire of a caller who starts a run directly."""
    return Fire(
        automation_id=automation_id, run_id=random_id("run"), cause=Trigger.MANUAL, ancestry=tuple(ancestry)
    )
