"""Event subscriptions of triggers, and the template context that an event gives them.

In triggers, the names of built-in events begin with `ava.`; published events keep the names of their
publishers. An event for a workspace has that workspace as its subject; all others are global.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from runwright.automations.model import WEBHOOK_EVENT, Automation, AutomationScope
from runwright.core.template_context import Json, TemplateContext
from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.events.publish import OWN_FAMILIES
from runwright.events.store import subscribe

OWN_PREFIX: Final = "ava."
SUBSCRIBER_PREFIX: Final = "trg_"
"""Precedes the trigger id in the id of a subscriber."""

_WORKSPACE_PREFIX: Final = "workspace:"
_OBSERVED_FAMILIES: Final = frozenset({"session", "memory"})


async def update_subscription(db: PoolConnection, one: Automation) -> None:
    """Subscribe a trigger to its event; unsubscribe it if it is disabled or fired by a webhook."""
    pattern = _pattern(one.trigger.event) if one.trigger.enabled else None
    await _subscribe(db, one, [] if pattern is None else [pattern])


async def delete_subscription(db: PoolConnection, one: Automation) -> None:
    """Unsubscribe a trigger."""
    await _subscribe(db, one, [])


async def _subscribe(db: PoolConnection, one: Automation, patterns: Sequence[str]) -> None:
    subscriber_id = SUBSCRIBER_PREFIX + one.id
    await subscribe(db, tenant_id=one.tenant_id, subscriber_id=subscriber_id, patterns=patterns)


def _pattern(event: str) -> str | None:
    """Return the name of the event in the event log; None if no event can have that name."""
    own = event.startswith(OWN_PREFIX)
    name = event.removeprefix(OWN_PREFIX)
    family = name.partition(".")[0]
    if event == WEBHOOK_EVENT or "*" in name or own != (family in OWN_FAMILIES):
        return None
    return name


def event_name(event: Event) -> str:
    """Return the name of an event in triggers."""
    return OWN_PREFIX + event.type if event.type.partition(".")[0] in OWN_FAMILIES else event.type


def workspace_subject(workspace_id: str) -> str:
    """Return the subject of an event that is published for a workspace; empty without one."""
    return _WORKSPACE_PREFIX + workspace_id if workspace_id else ""


def context_of(event: Event, job_data: dict[str, Json] | None = None) -> TemplateContext:
    """Return the template context of an event; `job_data` describes the job that is its subject."""
    subject, family = event.subject_id, event.type.partition(".")[0]
    workspace_id = subject.removeprefix(_WORKSPACE_PREFIX) if subject.startswith(_WORKSPACE_PREFIX) else ""
    data: dict[str, Any] = {}
    if event.data is not None and bytes(event.data).lstrip().startswith(b"{"):
        data.update(msgspec.json.decode(event.data, type=dict[str, msgspec.Raw]))
    if family in OWN_FAMILIES:
        data = {**data, **(job_data or {}), "subject_id": subject, "event_id": event.id}
    return TemplateContext(
        kind=event_name(event),
        scope=AutomationScope.WORKSPACE.value if workspace_id else AutomationScope.GLOBAL.value,
        workspace_id=workspace_id,
        source=_source_of(family),
        data=data,
    )


def _source_of(family: str) -> str:
    if family in OWN_FAMILIES | _OBSERVED_FAMILIES:
        return "observer"
    return "hook" if family == "hook" else "extension"
