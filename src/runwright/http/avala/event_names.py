"""The names of events in the Avala API, the types that they have in the log, and their payloads.

The nine documented names and `custom.…` are published by tenants, under the same type. Our own events are
`ava.…`, except `agent.action`, which each decision raises.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.agents.model import ACTION_EVENT
from runwright.agents.model import TEST_EVENT as AGENT_TEST
from runwright.core.ids import is_id, uuid_of
from runwright.events.model import Event
from runwright.http.event_catalogue import EVENTS, FAMILIES
from runwright.http.validation import Problem
from runwright.webhooks.service import TEST_EVENT as WEBHOOK_TEST

DOCUMENTED: Final = (
    "dataset.created",
    "dataset.updated",
    "dataset.deleted",
    "export.completed",
    "export.failed",
    "task.completed",
    "result.submitted",
    "result.accepted",
    "result.rejected",
)
PREFIX: Final = "ava."
CUSTOM: Final = re.compile(r"custom(?:\.[a-z0-9_-]+)+", re.ASCII)
LONGEST_NAME: Final = 100

_SAME: Final = frozenset((*DOCUMENTED, ACTION_EVENT, AGENT_TEST, WEBHOOK_TEST))
_EVERYTHING: Final = "ava.*"
_KNOWN: Final = frozenset(
    (*DOCUMENTED, ACTION_EVENT, "custom.*", _EVERYTHING, *(PREFIX + one for one in (*EVENTS, *FAMILIES)))
)
MOST_NAMES: Final = 100

PUBLISHABLE_PATTERN: Final = f"^({'|'.join(map(re.escape, DOCUMENTED))}|{CUSTOM.pattern})$"
SUBSCRIBABLE_PATTERN: Final = f"^({'|'.join(map(re.escape, sorted(_KNOWN)))}|{CUSTOM.pattern})$"
EventName = Annotated[
    str, Meta(extra_json_schema={"pattern": SUBSCRIBABLE_PATTERN, "maxLength": LONGEST_NAME})
]
"""What agents and webhooks subscribe to."""


def wire_name(event_type: str) -> str:
    """Return the API's name of an event type."""
    return event_type if event_type in _SAME or event_type.startswith("custom.") else PREFIX + event_type


def publishable(name: str) -> bool:
    """Return whether tenants may publish events of this name."""
    return name in DOCUMENTED or (len(name) <= LONGEST_NAME and CUSTOM.fullmatch(name) is not None)


def check_events(names: Sequence[str]) -> Iterable[Problem]:
    """Check the field `events`, which may be empty."""
    if len(names) > MOST_NAMES:
        yield "", f"Ensure this field has no more than {MOST_NAMES} elements."
        return
    unknown = [name for name in names if not _subscribable(name)]
    if unknown:
        yield "", f"Invalid events: {', '.join(name[:LONGEST_NAME] for name in unknown)}"


def _subscribable(name: str) -> bool:
    return name in _KNOWN or publishable(name)


def core_patterns(names: Iterable[str]) -> list[str]:
    """Return the patterns of event types for the API's names, without duplicates."""
    patterns: list[str] = []
    for name in names:
        patterns += FAMILIES if name == _EVERYTHING else [name.removeprefix(PREFIX)]
    return list(dict.fromkeys(patterns))


Parts = dict[str, msgspec.Raw]

_INNER: Final = frozenset({"subject_id", "occurred_at"})
"""Facts of every event of our own, which the other fields of these events repeat."""

_decode: Final = msgspec.json.Decoder(Parts).decode


def event_payload(event: Event, payload: msgspec.Raw) -> Parts:
    """Return the payload of an event for agents: what was published, unchanged, and the event's name."""
    parts = _decode(payload)
    if event.type in {ACTION_EVENT, AGENT_TEST}:
        parts = _without_our_ids(parts)
    return {"event": _raw(wire_name(event.type)), **{k: v for k, v in parts.items() if k != "event"}}


def text_of(parts: Parts, name: str) -> str | None:
    """Return a part if it is text."""
    try:
        return msgspec.json.decode(parts[name], type=str) if name in parts else None
    except msgspec.ValidationError:
        return None


def _without_our_ids(parts: Parts) -> Parts:
    """Use the API's ids of agents and executions, and its name of the event that was decided on."""
    shown: Parts = {}
    for name, value in parts.items():
        text = text_of(parts, name)
        if name == "agent_id" and text is not None and is_id("agt", text):
            shown["registration"] = _raw(uuid_of(text))
        elif name == "execution_id" and text is not None and is_id("exn", text):
            shown["execution"] = _raw(uuid_of(text))
        elif name == "event" and text is not None:
            shown["event_type"] = _raw(wire_name(text))
        elif name not in _INNER:
            shown[name] = value
    return shown


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))
