"""Which events a trigger is fired by, and what an event tells it.

Outside, our own facts are called `ava.…`; everything else is called what its publisher called it.
An event that was published for a workspace is about that workspace; all others are global.
"""

from typing import Any, Final

import msgspec

from runwright.automations.model import WEBHOOK_EVENT, Automation
from runwright.core.template_context import Json, TemplateContext
from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.events.publish import OWN_FAMILIES
from runwright.events.store import subscribe

OWN_PREFIX: Final = "ava."
SUBSCRIBER: Final = "trg_"
"""Before the id of a trigger that subscribes to events."""

_WORKSPACE: Final = "workspace:"
_OBSERVED: Final = frozenset({"session", "memory"})


async def keep_subscription(db: PoolConnection, one: Automation) -> None:
    """Subscribe a trigger to its event, or to nothing where it is disabled or a webhook's."""
    patterns = [_pattern(one.event)] if one.enabled else []
    await subscribe(
        db,
        tenant_id=one.tenant_id,
        subscriber_id=SUBSCRIBER + one.id,
        patterns=[pattern for pattern in patterns if pattern],
    )


async def drop_subscription(db: PoolConnection, one: Automation) -> None:
    """Let a trigger be told of nothing any more."""
    await subscribe(db, tenant_id=one.tenant_id, subscriber_id=SUBSCRIBER + one.id, patterns=())


def _pattern(event: str) -> str | None:
    """Return the core's name of the event; None where nothing has that name."""
    own = event.startswith(OWN_PREFIX)
    name = event.removeprefix(OWN_PREFIX)
    family = name.partition(".")[0]
    if event == WEBHOOK_EVENT or "*" in name or own != (family in OWN_FAMILIES):
        return None
    return name


def event_name(event: Event) -> str:
    """Return what an event is called outside."""
    return OWN_PREFIX + event.type if event.type.partition(".")[0] in OWN_FAMILIES else event.type


def workspace_subject(workspace_id: str) -> str:
    """Return what an event is about that was published for a workspace; empty for none."""
    return _WORKSPACE + workspace_id if workspace_id else ""


class _Stored(msgspec.Struct, frozen=True):
    """An activation as a run keeps it."""

    kind: str
    scope: str
    source: str
    workspace_id: str
    data: dict[str, Any]


def stored_activation(raw: msgspec.Raw) -> TemplateContext:
    """Return the activation that a run keeps."""
    stored = msgspec.json.decode(raw, type=_Stored)
    return TemplateContext(**{name: getattr(stored, name) for name in _Stored.__struct_fields__})


def activation_of(event: Event, facts: dict[str, Json] | None = None) -> TemplateContext:
    """Return what an event tells a trigger; `facts` are what its subject says, where somebody has asked."""
    workspace_id = (
        event.subject_id.removeprefix(_WORKSPACE) if event.subject_id.startswith(_WORKSPACE) else ""
    )
    family = event.type.partition(".")[0]
    said = {} if event.data is None else msgspec.json.decode(event.data)
    data: dict[str, Json] = said if isinstance(said, dict) else {}
    if family in OWN_FAMILIES:
        data = {**data, **(facts or {}), "subject_id": event.subject_id, "event_id": event.id}
    return TemplateContext(
        kind=event_name(event),
        scope="workspace" if workspace_id else "global",
        workspace_id=workspace_id,
        source="observer"
        if family in OWN_FAMILIES | _OBSERVED
        else "hook"
        if family == "hook"
        else "extension",
        data=data,
    )
