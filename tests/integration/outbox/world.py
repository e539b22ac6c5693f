"""The environment of these tests: endpoints, events, a router and a sender, on a clock of their own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from runwright.core.roles import Caller, Role
from runwright.db.pool import Database
from runwright.events.notifications import EventNotifications
from runwright.events.store import append_event, take_queued_events
from runwright.http.ava.webhooks.payloads import AvaPayloadFormat
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.outbox.queue import InFlight, OutboxBatch, OutboxClaim, OutboxQueue, Settlement, claim_due
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.webhooks.model import ClaimedDelivery, DeliveryOutcome, WebhookEndpoint, WebhookEndpointCreate
from runwright.webhooks.sending import WebhookSender, retry_delay
from runwright.webhooks.service import WebhookEndpoints
from runwright.webhooks.store.outgoing import (
    WEBHOOK_QUEUE,
    insert_deliveries,
    load_deliveries,
    settle_deliveries,
)
from tests.receiver import TRUSTING_NOBODY

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEV = OutgoingPolicy(dev=True)
NOTHING = InFlight()
ROOMY = msgspec.structs.replace(WEBHOOK_QUEUE, max_in_flight=1000, max_in_flight_per_tenant=500)
"""For tests that are not about how the connections are shared."""


class World:
    """Moves events and deliveries about by hand."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = START
        secret_box = SecretBox(Keyring([bytes(32)]))
        self.sender = WebhookSender(
            OutgoingClient(DEV, tls=TRUSTING_NOBODY),
            formats={"ava": AvaPayloadFormat(db)},
            secret_box=secret_box,
            clock=self.clock,
        )
        self.event_notifications = EventNotifications(origin="test", send=lambda _: None)
        self.endpoints = WebhookEndpoints(
            db,
            style="ava",
            clock=self.clock,
            secret_box=secret_box,
            sender=self.sender,
            on_subscribed=self.event_notifications.subscribed,
        )

    def clock(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def caller(self, tenant: str = "ten_a") -> Caller:
        return Caller(tenant, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")

    async def endpoint(
        self, tenant: str = "ten_a", *, url: str = "http://127.0.0.1:9/", patterns: Sequence[str] = ("job.*",)
    ) -> WebhookEndpoint:
        new = WebhookEndpointCreate(url=url, events=["*"], patterns=list(patterns), secret="s3cret")
        endpoint, _ = await self.endpoints.create(self.caller(tenant), new)
        return endpoint

    async def event(self, tenant: str = "ten_a", type: str = "job.completed", subject: str = "job_x") -> int:
        async with self.db.acquire() as db, db.transaction():
            return await append_event(db, tenant_id=tenant, type=type, subject_id=subject, now=self.now)

    async def route(self, limit: int = 100) -> int:
        async with self.db.acquire() as db, db.transaction():
            wanted = await take_queued_events(db, limit=limit)
            pairs = [(one.event, who) for one in wanted for who in one.subscriber_ids]
            return await insert_deliveries(db, pairs, self.now)

    async def claim_all(
        self, *, limit: int = 100, in_flight: InFlight = NOTHING, queue: OutboxQueue = ROOMY
    ) -> OutboxBatch:
        return await claim_due(self.db, queue, now=self.now, limit=limit, cursor=None, in_flight=in_flight)

    async def claim(self, limit: int = 100) -> Sequence[ClaimedDelivery]:
        """Claim what is due, and load it; in the order of the claims."""
        claims = (await self.claim_all(limit=limit)).claims
        loaded = {one.claim.id: one for one in await load_deliveries(self.db, claims, self.now)}
        return [loaded[claim.id] for claim in claims]

    def outcome(self, status: int | None = 200, *, duration_ms: int = 5) -> DeliveryOutcome:
        fine = status is not None and 200 <= status < 300
        return DeliveryOutcome(
            started_at=self.now,
            duration_ms=duration_ms,
            response_status=status,
            error=None if fine else f"The endpoint answered {status}.",
        )

    def settlement(self, claim: OutboxClaim, outcome: DeliveryOutcome) -> Settlement[DeliveryOutcome]:
        delay = None if outcome.delivered else retry_delay(claim.failed_attempts, outcome)
        retry_at = None if delay is None else self.now + timedelta(seconds=delay)
        return Settlement(claim=claim, result=outcome, retry_at=retry_at)

    async def settle(self, claim: OutboxClaim, status: int | None = 200, *, duration_ms: int = 5) -> bool:
        settlement = self.settlement(claim, self.outcome(status, duration_ms=duration_ms))
        return bool(await settle_deliveries(self.db, [settlement]))

    async def heal(self) -> None:
        """Mark every endpoint as healthy."""
        await self.db.execute("UPDATE endpoints SET strained = false")

    async def count(self, table: str) -> int:
        number: int = await self.db.fetchval(f"SELECT count(*) FROM {table}")
        return number
