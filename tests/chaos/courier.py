"""A process with a router and a sender of webhooks and nothing else: `python -m tests.chaos.courier DSN`."""

import asyncio
import sys

import msgspec

from runwright.core.clock import system_clock
from runwright.db.pool import open_pool
from runwright.events.notifications import EventNotifications
from runwright.http.ava.webhooks.payloads import AvaPayloadFormat
from runwright.loops.router import Router
from runwright.loops.sender import OutboxSender
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.telemetry.emit import TelemetryEvent
from runwright.telemetry.events.outbox import OutboxNotSettled, OutboxSetAside
from runwright.telemetry.events.server import LoopPassFailed
from runwright.webhooks.sending import WebhookSender, WebhookSubject
from runwright.webhooks.store.outgoing import WEBHOOK_QUEUE, insert_deliveries

LEASE_SECONDS = 1.5


def _emit(event: TelemetryEvent) -> None:
    if isinstance(event, LoopPassFailed | OutboxNotSettled | OutboxSetAside):
        sys.stderr.write(f"{event}\n")


async def deliver(dsn: str) -> None:
    """Route and deliver until killed."""
    db = await open_pool(dsn, by_key=True)
    event_notifications = EventNotifications(origin="courier", send=lambda _: None)
    sender = WebhookSender(
        OutgoingClient(OutgoingPolicy(dev=True)),
        formats={"ava": AvaPayloadFormat(db)},
        secret_box=SecretBox(Keyring([bytes(32)])),
        clock=system_clock,
    )
    subject = WebhookSubject(
        sender,
        clock=system_clock,
        emit=_emit,
        queue=msgspec.structs.replace(WEBHOOK_QUEUE, lease_seconds=LEASE_SECONDS),
    )
    loop = OutboxSender(db, subject, clock=system_clock, event_notifications=event_notifications, emit=_emit)
    router = Router(
        db,
        sinks={"wh": insert_deliveries},
        clock=system_clock,
        event_notifications=event_notifications,
        emit=_emit,
    )
    await router.start()
    await loop.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(deliver(sys.argv[1]))
