"""What an event says to the outside, in the API's words: a JSON object with the event's name in it."""

from typing import Final

import msgspec

from runwright.agents.model import ACTION_EVENT, TEST_EVENT
from runwright.core.ids import is_id, uuid_of
from runwright.events.model import Event
from runwright.http.avala.event_names import wire_name

Parts = dict[str, msgspec.Raw]

_INNER: Final = frozenset({"subject_id", "occurred_at"})
"""What the core says of every fact of its own, and these say better."""

_decode: Final = msgspec.json.Decoder(Parts).decode


def payload_wire(event: Event, payload: msgspec.Raw) -> Parts:
    """Return what an agent is given of an event: what was published, as it is, and its name."""
    parts = _decode(payload)
    if event.type in {ACTION_EVENT, TEST_EVENT}:
        parts = _without_our_ids(parts)
    return {"event": _raw(wire_name(event.type)), **{k: v for k, v in parts.items() if k != "event"}}


def text_of(parts: Parts, name: str) -> str | None:
    """Return a part where it is text."""
    try:
        return msgspec.json.decode(parts[name], type=str) if name in parts else None
    except msgspec.ValidationError:
        return None


def _without_our_ids(parts: Parts) -> Parts:
    """Name agents and executions as the API does, and the event that was decided on."""
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
