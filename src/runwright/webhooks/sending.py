"""Webhook deliveries as a subject of the outbox: what is sent, and when a failed attempt is repeated."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Literal, Protocol

from runwright.core.clock import Clock
from runwright.core.ids import OwnerId
from runwright.db.pool import Database
from runwright.events.model import Event
from runwright.outbox.client.client import OutgoingClient, OutgoingError
from runwright.outbox.queue import OutboxClaim, OutboxQueue, Settlement
from runwright.outbox.retry_after import wait_seconds
from runwright.secrets.keyring import SecretBox
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.outbox import DeliveryAttempted
from runwright.webhooks.model import RESPONSE_SECONDS, RETRY_SECONDS, ClaimedDelivery, DeliveryOutcome
from runwright.webhooks.store.outgoing import WEBHOOK_QUEUE, load_deliveries, settle_deliveries

_OK: Final = range(200, 300)


class PayloadFormat(Protocol):
    """A dialect's body and headers of a delivery; the body of an event never changes."""

    async def body(self, event: Event) -> bytes | None:
        """Return the body; None where the event's subject no longer exists."""

    def headers(
        self, event: Event, delivery_id: str, body: bytes, secrets: Sequence[str], now: float
    ) -> list[tuple[str, str]]:
        """Return the headers with a signature by each secret, the newest first."""


def retry_delay(failed_attempts: int, outcome: DeliveryOutcome) -> float | None:
    """Return the seconds until the next attempt, after this one has failed too; None: no more."""
    if outcome.gone or failed_attempts >= len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[failed_attempts]


class WebhookSender:
    """Makes attempts."""

    def __init__(
        self,
        client: OutgoingClient,
        *,
        formats: Mapping[str, PayloadFormat],
        secret_box: SecretBox,
        clock: Clock,
    ) -> None:
        self._client = client
        self._formats = formats
        self._secret_box = secret_box
        self._clock = clock

    async def body(self, style: str, event: Event) -> bytes | None:
        """Return the body of an event in a payload format; None where its subject no longer exists."""
        return await self._formats[style].body(event)

    async def send(self, delivery: ClaimedDelivery) -> DeliveryOutcome:
        """Make an attempt. Raises only for what is not the endpoint's fault: database, vault key."""
        payload_format, claim = self._formats[delivery.style], delivery.claim
        secrets = [
            self._secret_box.decrypt(claim.tenant_id, OwnerId(claim.destination_id), one)
            for one in delivery.secrets
        ]
        body = await payload_format.body(delivery.event)
        started_at, began = self._clock(), time.monotonic()
        status: int | None = None
        retry_after: str | None = None
        if body is None:
            error: str | None = "What the event is about is not kept any more."
        else:
            headers = payload_format.headers(delivery.event, claim.id, body, secrets, started_at.timestamp())
            status, error, retry_after = await self._post(delivery.url, headers, body)
        return DeliveryOutcome(
            started_at=started_at,
            duration_ms=round((time.monotonic() - began) * 1000),
            response_status=status,
            error=error,
            retry_after=retry_after,
        )

    async def _post(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int | None, str | None, str | None]:
        """Return the status of the response, the error unless it was a 2xx, and its Retry-After."""
        try:
            response = await self._client.post(url, headers, body, total_seconds=RESPONSE_SECONDS)
        except OutgoingError as problem:
            return None, problem.message, None
        answered = f"The endpoint answered {response.status}."
        return response.status, None if response.status in _OK else answered, response.retry_after


class WebhookSubject:
    """Deliveries for the loop that sends what is in the outbox."""

    def __init__(
        self, sender: WebhookSender, *, clock: Clock, emit: Emit, queue: OutboxQueue = WEBHOOK_QUEUE
    ) -> None:
        self.queue = queue
        self._sender = sender
        self._clock = clock
        self._emit = emit

    async def load(self, db: Database, claims: Sequence[OutboxClaim]) -> Sequence[ClaimedDelivery]:
        """Return the claimed deliveries; those of an endpoint that was just deleted are missing."""
        return await load_deliveries(db, claims, self._clock())

    async def send(self, item: ClaimedDelivery) -> Settlement[DeliveryOutcome]:
        """Make an attempt and decide what follows from it."""
        outcome = await self._sender.send(item)
        result: Literal["delivered", "failed"] = "delivered" if outcome.delivered else "failed"
        self._emit(DeliveryAttempted(result=result, duration_seconds=outcome.duration_ms / 1000))
        step, now = retry_delay(item.claim.failed_attempts, outcome), self._clock()
        retry_at = None
        if step is not None and not outcome.delivered:
            retry_at = now + timedelta(seconds=wait_seconds(step, outcome.retry_after, now))
        return Settlement(claim=item.claim, result=outcome, retry_at=retry_at, failed=not outcome.delivered)

    async def settle(self, db: Database, settlements: Sequence[Settlement[DeliveryOutcome]]) -> set[str]:
        """Record attempts; return the deliveries whose claim had been lost."""
        held = await settle_deliveries(db, settlements)
        return {one.claim.id for one in settlements} - held
