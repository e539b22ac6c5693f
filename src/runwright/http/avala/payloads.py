"""The payloads of events in the API: JSON objects that include the event's name."""

from typing import Final

import msgspec

from runwright.agents.model import ACTION_EVENT, TEST_EVENT
from runwright.core.ids import is_id, uuid_of
from runwright.events.model import Event
from runwright.http.avala.event_names import wire_name

Parts = dict[str, msgspec.Raw]

_INNER: Final = frozenset({"subject_id", "occurred_at"})
"""Facts of every event of our own, which the other fields of these events repeat."""

_decode: Final = msgspec.json.Decoder(Parts).decode


def event_payload(event: Event, payload: msgspec.Raw) -> Parts:
    """Return the payload of an event for agents: what was published, unchanged, and the event's name."""
    parts = _decode(payload)
    if event.type in {ACTION_EVENT, TEST_EVENT}:
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
