"""The format of callbacks to agents, and of the input of workers that decide for them."""

import msgspec

from runwright.agents.model import Execution
from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import event_payload, wire_name
from runwright.outbox.signing import hex_signature


class AvalaCallbackFormat:
    """The event's payload with the execution's UUID, with the headers and the signature of webhooks."""

    def body(self, execution: Execution) -> bytes:
        """Return the body; always the same for an execution."""
        parts: dict[str, str | msgspec.Raw] = {**event_payload(execution.event, execution.payload)}
        return msgspec.json.encode(parts | {"execution_uid": uuid_of(execution.id)})

    def headers(self, execution: Execution, body: bytes, secret: str) -> list[tuple[str, str]]:
        """Return the headers with the signature."""
        return [
            ("Content-Type", "application/json"),
            ("X-Avala-Webhook-Signature", hex_signature(secret, body)),
            ("X-Avala-Webhook-Event", wire_name(execution.event.type)),
            ("X-Avala-Webhook-Delivery", uuid_of(execution.id)),
        ]
