"""The payload format of webhooks: the body is the payload itself, headers describe it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from runwright.agents.model import ACTION_EVENT
from runwright.core.ids import uuid_of
from runwright.events.model import Event
from runwright.http.avala.event_names import PREFIX, event_payload, wire_name
from runwright.outbox.signing import hex_signature
from runwright.webhooks.service import TEST_EVENT

_TEXT: Final = "This is a test of the webhook."


class AvalaPayloadFormat:
    """The Avala `PayloadFormat`.

    `facts` returns the subject of an event of our own as a JSON object; None if it no longer exists.
    """

    def __init__(self, facts: Callable[[Event], Awaitable[bytes | None]]) -> None:
        self._facts = facts

    async def body(self, event: Event) -> bytes | None:
        name = wire_name(event.type)
        if event.type == TEST_EVENT:
            test = {"event": name, "webhook_uid": uuid_of(event.subject_id), "message": _TEXT}
            return msgspec.json.encode(test)
        if event.data is None and not event.type.startswith("job."):
            return None  # the event was pruned; one of an ended job needs no data
        if event.type == ACTION_EVENT:
            return msgspec.json.encode(event_payload(event, event.data or msgspec.Raw(b"{}")))
        if not name.startswith(PREFIX):
            return bytes(event.data or b"{}")
        fact = await self._facts(event)
        if fact is None:
            return None
        parts: dict[str, str | msgspec.Raw] = {"event": name}
        return msgspec.json.encode(parts | msgspec.json.decode(fact, type=dict[str, msgspec.Raw]))

    def headers(
        self, event: Event, delivery_id: str, body: bytes, secrets: Sequence[str], _: float
    ) -> list[tuple[str, str]]:
        return [
            ("Content-Type", "application/json"),
            *(("X-Avala-Webhook-Signature", hex_signature(secret, body)) for secret in secrets),
            ("X-Avala-Webhook-Event", wire_name(event.type)),
            ("X-Avala-Webhook-Delivery", uuid_of(delivery_id)),
        ]
