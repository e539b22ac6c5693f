"""The small world of these tests: endpoints, events, a router and a deliverer on a clock of their own."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from runwright.core.roles import Caller, Role
from runwright.db.pool import Database
from runwright.events.notifications import EventNotifications
from runwright.events.store import append_event, take_wanted
from runwright.http.ava.webhook_events import AvaStyle
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.outbox.model import ClaimedDelivery, Endpoint, NewEndpoint, Outcome
from runwright.outbox.sending import Sender, judge
from runwright.outbox.service import Endpoints
from runwright.outbox.store.queue import (
    Claimed,
    Settlement,
    claim_deliveries,
    insert_deliveries,
    settle_deliveries,
)
from runwright.secrets.keyring import Keyring, SecretBox

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEV = OutgoingPolicy(dev=True)


class World:
    """Moves events and deliveries about by hand."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = START
        secret_box = SecretBox(Keyring([bytes(32)]))
        self.sender = Sender(
            OutgoingClient(DEV), styles={"ava": AvaStyle(db)}, secret_box=secret_box, clock=self.clock
        )
        self.hints = EventNotifications(origin="test", send=lambda _: None)
        self.endpoints = Endpoints(
            db,
            style="ava",
            clock=self.clock,
            secret_box=secret_box,
            sender=self.sender,
            on_subscribed=self.hints.subscribed,
        )

    def clock(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def caller(self, tenant: str = "ten_a") -> Caller:
        return Caller(tenant, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")

    async def endpoint(
        self, tenant: str = "ten_a", *, url: str = "http://127.0.0.1:9/", patterns: Sequence[str] = ("job.*",)
    ) -> Endpoint:
        new = NewEndpoint(url=url, events=["*"], patterns=list(patterns), secret="s3cret")
        endpoint, _ = await self.endpoints.create(self.caller(tenant), new)
        return endpoint

    async def event(self, tenant: str = "ten_a", type: str = "job.completed", subject: str = "job_x") -> int:
        async with self.db.acquire() as db, db.transaction():
            return await append_event(db, tenant_id=tenant, type=type, subject_id=subject, now=self.now)

    async def route(self, limit: int = 100) -> int:
        async with self.db.acquire() as db, db.transaction():
            wanted = await take_wanted(db, limit=limit)
            pairs = [(one.event, who) for one in wanted for who in one.subscriber_ids]
            return await insert_deliveries(db, pairs, self.now)

    async def claim_all(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        used: dict[str, int] | None = None,
        tenant_room: int = 100,
        lease_seconds: float = 30,
    ) -> Claimed:
        return await claim_deliveries(
            self.db,
            now=self.now,
            limit=limit,
            lease_seconds=lease_seconds,
            cursor=cursor,
            used=used or {},
            tenant_room=tenant_room,
        )

    async def claim(self, limit: int = 100) -> list[ClaimedDelivery]:
        return (await self.claim_all(limit=limit)).parcels

    def outcome(self, status: int | None = 200, *, duration_ms: int = 5) -> Outcome:
        fine = status is not None and 200 <= status < 300
        return Outcome(
            started_at=self.now,
            duration_ms=duration_ms,
            response_status=status,
            error=None if fine else f"The endpoint answered {status}.",
        )

    def settlement(self, parcel: ClaimedDelivery, outcome: Outcome) -> Settlement:
        verdict = judge(parcel.step, outcome)
        again = None if outcome.delivered or verdict.retry_seconds is None else verdict.retry_seconds
        return Settlement(
            delivery_id=parcel.delivery_id,
            fence=parcel.fence,
            outcome=outcome,
            retry_at=None if again is None else self.now + timedelta(seconds=again),
            gone=not outcome.delivered and verdict.gone,
        )

    async def settle(
        self, parcel: ClaimedDelivery, status: int | None = 200, *, duration_ms: int = 5
    ) -> bool:
        settlement = self.settlement(parcel, self.outcome(status, duration_ms=duration_ms))
        return bool(await settle_deliveries(self.db, [settlement]))

    async def heal(self) -> None:
        """Let every endpoint have answered well."""
        await self.db.execute("UPDATE endpoints SET strained = false")

    async def count(self, table: str) -> int:
        number: int = await self.db.fetchval(f"SELECT count(*) FROM {table}")
        return number
