"""A process with a router and a deliverer and nothing else: `python -m tests.chaos.courier DSN`."""

import asyncio
import sys

from runwright.core.clock import system_clock
from runwright.db.pool import open_pool
from runwright.events.notifications import EventNotifications
from runwright.http.ava.webhook_events import AvaStyle
from runwright.loops.router import Router
from runwright.loops.sender import Deliverer
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.outbox.sending import Sender
from runwright.outbox.store.queue import insert_deliveries
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.telemetry.emit import TelemetryEvent
from runwright.telemetry.events import DeliveryNotSettled, DeliverySetAside, LoopPassFailed

LEASE_SECONDS = 1.5


def _emit(event: TelemetryEvent) -> None:
    if isinstance(event, LoopPassFailed | DeliveryNotSettled | DeliverySetAside):
        sys.stderr.write(f"{event}\n")


async def deliver(dsn: str) -> None:
    """Route and deliver until killed."""
    db = await open_pool(dsn, by_key=True)
    hints = EventNotifications(origin="courier", send=lambda _: None)
    sender = Sender(
        OutgoingClient(OutgoingPolicy(dev=True)),
        styles={"ava": AvaStyle(db)},
        secret_box=SecretBox(Keyring([bytes(32)])),
        clock=system_clock,
    )
    deliverer = Deliverer(
        db, sender=sender, clock=system_clock, hints=hints, emit=_emit, lease_seconds=LEASE_SECONDS
    )
    router = Router(db, sinks={"wh": insert_deliveries}, clock=system_clock, hints=hints, emit=_emit)
    await router.start()
    await deliverer.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(deliver(sys.argv[1]))
