"""What agents with a callback, or a worker that answers for them, are told of an execution."""

import msgspec

from runwright.agents.model import Execution
from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import wire_name
from runwright.http.avala.payloads import payload_wire
from runwright.outbox.signing import hex_signature


class AvalaCallbacks:
    """The event's payload with the execution's UUID, signed and named as webhooks are."""

    def body(self, execution: Execution) -> bytes:
        """Return what is told; of the same execution always the same."""
        parts: dict[str, str | msgspec.Raw] = {**payload_wire(execution.event, execution.payload)}
        return msgspec.json.encode(parts | {"execution_uid": uuid_of(execution.id)})

    def headers(self, execution: Execution, body: bytes, secret: str) -> list[tuple[str, str]]:
        """Return the headers of a callback."""
        return [
            ("Content-Type", "application/json"),
            ("X-Avala-Webhook-Signature", hex_signature(secret, body)),
            ("X-Avala-Webhook-Event", wire_name(execution.event.type)),
            ("X-Avala-Webhook-Delivery", uuid_of(execution.id)),
        ]
