"""Which events a trigger can wait for."""

import difflib
from typing import Final

from runwright.automations.event_subscriptions import OWN_PREFIX
from runwright.automations.model import WEBHOOK_EVENT
from runwright.events.publish import OWN_FAMILIES, type_problem
from runwright.http.event_catalogue import EVENTS

_OWN: Final = tuple(OWN_PREFIX + name for name in EVENTS)
_COMPLETE_FAMILIES: Final = frozenset(name.partition(".")[0] for name in EVENTS)
"""Families of which `EVENTS` has every event."""


def event_warning(event: str) -> str | None:
    """Return why no event can have this name, with the name that may be meant; None if one can."""
    if event == WEBHOOK_EVENT or event in _OWN:
        return None
    name = event.removeprefix(OWN_PREFIX)
    family = name.partition(".")[0]
    own = event.startswith(OWN_PREFIX)
    if own and family in OWN_FAMILIES and family not in _COMPLETE_FAMILIES:
        return None
    if not own and type_problem(event) is None:
        return None
    return f"No event is called {event[:200]}.{_hint(name)}"


def _hint(name: str) -> str:
    close = difflib.get_close_matches(OWN_PREFIX + name[:100].casefold(), _OWN, n=1, cutoff=0.75)
    if close:
        return f" Did you mean {close[0]}?"
    return " Those of this server begin with ava., published ones have a family and a dot: custom.deploy."
