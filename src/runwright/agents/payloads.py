"""What an event says to an agent: a JSON object."""

from typing import Any, Final

import msgspec

from runwright.events.model import Event
from runwright.events.publish import OWN_FAMILIES

_EMPTY: Final = msgspec.Raw(b"{}")


def payload_of(event: Event, job: msgspec.Raw | None) -> msgspec.Raw:
    """Return what was published, or what we know of a fact of our own; `job` are facts of its job."""
    if event.type.partition(".")[0] not in OWN_FAMILIES:
        return event.data or _EMPTY
    said: dict[str, Any] = {"subject_id": event.subject_id, "occurred_at": event.created_at}
    for more in (job, event.data):
        known = None if more is None else msgspec.json.decode(more)
        if isinstance(known, dict):
            said |= known
    return msgspec.Raw(msgspec.json.encode(said))
