"""AVA's names for events, and the patterns that webhooks subscribe with."""

from collections.abc import Iterable, Sequence
from typing import Final

from runwright.agents.model import ACTION_EVENT
from runwright.events.model import Event
from runwright.http.event_catalogue import EVENTS, FAMILIES
from runwright.http.validation import Problem

PREFIX: Final = "ava."
_CUSTOM: Final = "custom.*"
"""Events that tenants and their agents publish."""

_OURS: Final = (*EVENTS, ACTION_EVENT, *FAMILIES)
EVENT_PATTERNS: Final = (*(PREFIX + one for one in _OURS), _CUSTOM, "ava.*", "*")
_SENT: Final = (*(family.removesuffix("*") for family in FAMILIES), "custom.")
_EVERYTHING: Final = ("ava.*", "*")


def event_name(event: Event) -> str:
    """Return AVA's name of an event."""
    return event.type if event.type.startswith("custom.") else PREFIX + event.type


def is_sent(event: Event) -> bool:
    """Return whether webhooks can subscribe to events of this type."""
    return event.type == ACTION_EVENT or event.type.startswith(_SENT)


def check_events(names: Sequence[str]) -> Iterable[Problem]:
    """Check the field `events`."""
    if not names:
        yield "", "Must name at least one event."
    if len(set(names)) < len(names):
        yield "", "Must not name an event twice."
    for index, name in enumerate(names[: len(EVENT_PATTERNS)]):
        if name not in EVENT_PATTERNS:
            yield str(index), f"Must be one of: {', '.join(EVENT_PATTERNS)}."
    if len(names) > len(EVENT_PATTERNS):
        yield "", f"Must name at most {len(EVENT_PATTERNS)} events."


def core_patterns(names: Sequence[str]) -> list[str]:
    """Return the core's patterns for AVA's names of events."""
    if any(name in _EVERYTHING for name in names):
        return [*FAMILIES, ACTION_EVENT, *(name for name in names if name == _CUSTOM)]
    return [name.removeprefix(PREFIX) for name in names]
