"""Requests to webhooks and to callbacks of agents: the body is the payload itself, headers describe it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from runwright.agents.model import ACTION_EVENT, Execution
from runwright.core.ids import uuid_of
from runwright.events.model import Event
from runwright.http.avala.event_names import PREFIX, event_payload, wire_name
from runwright.outbox.signing import hex_signature
from runwright.webhooks.service import TEST_EVENT

_TEXT: Final = "This is a test of the webhook."


class AvalaPayloadFormat:
    """The Avala `PayloadFormat` of webhooks.

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
        return _headers(event, delivery_id, body, secrets)


class AvalaCallbackFormat:
    """The format of callbacks, and of the input of workers that decide for agents.

    It is the event's payload with the execution's UUID.
    """

    def body(self, execution: Execution) -> bytes:
        """Return the body; always the same for an execution."""
        parts: dict[str, str | msgspec.Raw] = {**event_payload(execution.event, execution.payload)}
        return msgspec.json.encode(parts | {"execution_uid": uuid_of(execution.id)})

    def headers(self, execution: Execution, body: bytes, secret: str) -> list[tuple[str, str]]:
        """Return the headers with the signature."""
        return _headers(execution.event, execution.id, body, [secret])


def _headers(event: Event, sent_id: str, body: bytes, secrets: Sequence[str]) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        *(("X-Avala-Webhook-Signature", hex_signature(secret, body)) for secret in secrets),
        ("X-Avala-Webhook-Event", wire_name(event.type)),
        ("X-Avala-Webhook-Delivery", uuid_of(sent_id)),
    ]
