"""What fires automations: ticks of the clock and events; each in the transaction that makes it so."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.automations.event_subscriptions import SUBSCRIBER, activation_of, event_name
from runwright.automations.filters import compile_filter
from runwright.automations.model import Automation, RunStatus, random_id, time_text
from runwright.automations.policy import Policy
from runwright.automations.store.definitions import fetch_triggers
from runwright.automations.store.firing import Fire, Limited, fire
from runwright.automations.store.job_event_data import job_facts
from runwright.core.job_state import Trigger
from runwright.core.template_context import TemplateContext
from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.events.publish import MAX_DEPTH, too_deep
from runwright.schedules.firing import Made, Wanted
from runwright.schedules.tick_policy import TickReason

_TOO_DEEP: Final = (
    f"automation: loop protection: {MAX_DEPTH} agents and automations in a row led to this event"
)


async def make_runs(
    db: PoolConnection, wanted: Sequence[Wanted], now: datetime, *, policy: Policy
) -> Sequence[Made]:
    """Make a run for each tick of an automation's schedule; see schedules/firing.py.

    One that the fire limit forbids is recorded as cancelled, and puts the schedule off until it may.
    While automations are switched off the clock goes on, and what it would have fired is passed over.
    """
    if not policy.enabled:
        return [Made(None, TickReason.AUTOMATIONS_OFF) for _ in wanted]
    fires = [_tick_fire(one) for one in wanted]
    answers = await fire(db, fires, now)
    made = []
    for answer in answers:
        if isinstance(answer, Limited):
            made.append(Made(None, TickReason.FIRE_LIMIT, answer.error.retry_at))
        elif answer is None:  # it is being deleted
            made.append(Made(None, TickReason.SCHEDULE_BROKEN))
        else:
            made.append(Made(answer.id))
    return made


def _tick_fire(one: Wanted) -> Fire:
    text = f"{one.schedule.id}|{time_text(one.scheduled_for)}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    return Fire(
        automation_id=one.schedule.id,
        run_id=f"run_{digest}",
        fire_id=f"fire_{digest}",
        cause=Trigger.SCHEDULED,
        scheduled_at=one.scheduled_for,
        limited_as=RunStatus.CANCELLED,
    )


async def fire_events(
    db: PoolConnection, pairs: Sequence[tuple[Event, str]], now: datetime, *, policy: Policy
) -> int:
    """Make a run for each event that a trigger wants; a sink of the router. Returns how many.

    The router calls it once per event and trigger, in the transaction that takes the event off its
    queue. What the fire limit forbids makes no run; what has too long an ancestry a cancelled one. None
    is made while automations are switched off.
    """
    if not policy.enabled:
        return 0
    triggers = await fetch_triggers(
        db, ids=sorted({subscriber.removeprefix(SUBSCRIBER) for _, subscriber in pairs})
    )
    facts = await job_facts(
        db, ids=sorted({event.subject_id for event, _ in pairs if event.type.startswith("job.")})
    )
    fires = []
    for event, subscriber in pairs:
        trigger = triggers.get(subscriber.removeprefix(SUBSCRIBER))
        if trigger is None or event_name(event) != trigger.event:
            continue
        activation = activation_of(event, facts.get(event.subject_id))
        if matches(trigger, activation):
            fires.append(_event_fire(trigger, event, activation))
    fires.sort(key=lambda one: one.automation_id)
    made = await fire(db, fires, now) if fires else ()
    return sum(one is not None and not isinstance(one, Limited) for one in made)


def matches(trigger: Automation, activation: TemplateContext) -> bool:
    """Tell whether a trigger wants this: its scope and workspace, and every condition of its filter."""
    if (activation.scope, activation.workspace_id) != (trigger.scope, trigger.workspace_id):
        return False
    return compile_filter(trigger.details.filter).matches(activation)


def _event_fire(trigger: Automation, event: Event, activation: TemplateContext) -> Fire:
    return Fire(
        automation_id=trigger.id,
        run_id=random_id("run"),
        cause=Trigger.EVENT,
        activation=msgspec.json.encode(activation),
        ancestry=event.ancestry,
        refused=_TOO_DEEP if too_deep(event.ancestry) else None,
    )


def manual_fire(automation_id: str, ancestry: Sequence[str] = ()) -> Fire:
    """Return what somebody who fires an automation by hand wants."""
    return Fire(
        automation_id=automation_id, run_id=random_id("run"), cause=Trigger.MANUAL, ancestry=tuple(ancestry)
    )
