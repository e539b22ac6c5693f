"""The router and the outbox sender together, over real connections: no endpoint delays another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from runwright.core.clock import system_clock
from runwright.db.pool import Pool, open_pool
from runwright.events.notifications import EventNotifications
from runwright.events.store import append_event
from runwright.loops import in_flight_limiter, sender
from runwright.loops.in_flight_limiter import Spacer
from runwright.loops.router import Router
from runwright.loops.sender import OutboxSender
from runwright.outbox.queue import DESTINATIONS_PER_CLAIM, OutboxBatch
from runwright.telemetry.events.outbox import OutboxOutcomeRefused, OutboxSetAside
from runwright.webhooks.model import ClaimedDelivery, DeliveryOutcome, WebhookEndpoint
from runwright.webhooks.sending import WebhookSubject
from runwright.webhooks.store.outgoing import WEBHOOK_QUEUE, insert_deliveries
from tests.integration.outbox.world import World
from tests.telemetry import RecordedTelemetry

SECONDS = 60.0


class Loops:
    """A router and senders on one database."""

    def __init__(self, db: Pool, *, senders: int) -> None:
        self.world = World(db)
        self.event_notifications = EventNotifications(origin="here", send=lambda _: None)
        self.telemetry = RecordedTelemetry()
        self.router = Router(
            db,
            sinks={"wh": insert_deliveries},
            clock=system_clock,
            event_notifications=self.event_notifications,
            emit=self.telemetry,
        )
        subject = WebhookSubject(
            self.world.sender,
            clock=system_clock,
            emit=self.telemetry,
            queue=msgspec.structs.replace(WEBHOOK_QUEUE, lease_seconds=2.0),
        )
        self.senders = [
            OutboxSender(
                db,
                subject,
                clock=system_clock,
                event_notifications=self.event_notifications,
                emit=self.telemetry,
            )
            for _ in range(senders)
        ]
        self.world.clock = system_clock  # type: ignore[method-assign]

    async def append(self, count: int, type: str = "webhook.test", tenant: str = "ten_a") -> None:
        """Append events whose body needs no job."""
        async with self.world.db.acquire() as db, db.transaction():
            for _ in range(count):
                await append_event(db, tenant_id=tenant, type=type, subject_id="wh_x", now=system_clock())
        self.event_notifications.appended()

    async def count(self, status: str, endpoint: WebhookEndpoint | None = None) -> int:
        number: int = await self.world.db.fetchval(
            "SELECT count(*) FROM deliveries WHERE status = $1 AND ($2::text IS NULL OR endpoint_id = $2)",
            status,
            None if endpoint is None else endpoint.id,
        )
        return number

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(SECONDS):
            while not await done():
                await self.senders[0].loop.reached(self.senders[0].loop.passes + 1)


@pytest.fixture
async def loops(database_url: str) -> AsyncIterator[Loops]:
    async with AsyncExitStack() as stack:
        db = await open_pool(database_url, max_size=8, by_key=True)
        stack.push_async_callback(db.close)
        one = Loops(db, senders=2)
        every: list[Router | OutboxSender[ClaimedDelivery, DeliveryOutcome]] = [one.router, *one.senders]
        for loop in every:
            stack.push_async_callback(loop.stop)
            await loop.start()
        stack.callback(one.event_notifications.stop)
        yield one


@asynccontextmanager
async def answering(pause: asyncio.Event | None, answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A receiver that answers each request, once `pause` is set where there is one."""
    bodies: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                if pause is not None:
                    await pause.wait()
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", bodies
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_every_event_arrives_once_though_two_deliver(loops: Loops) -> None:
    async with answering(None, OK) as (url, bodies):
        endpoint = await loops.world.endpoint(url=url, patterns=["webhook.*"])
        await loops.append(300)

        async def all_there() -> bool:
            return await loops.count("delivered", endpoint) == 300

        await loops.until(all_there)
        assert len(bodies) == len(set(bodies)) == 300
        assert not {OutboxOutcomeRefused, OutboxSetAside} & set(loops.telemetry.kinds())


async def test_a_dead_and_a_stuck_endpoint_hold_up_nobody(loops: Loops) -> None:
    release = asyncio.Event()
    async with answering(release, OK) as (stuck_url, stuck), answering(None, OK) as (url, bodies):
        await loops.world.endpoint(url=stuck_url, patterns=["webhook.*"])
        await loops.world.endpoint(url="http://127.0.0.1:9/", patterns=["webhook.*"])
        fine = await loops.world.endpoint(url=url, patterns=["webhook.*"])
        await loops.append(200)

        async def all_there() -> bool:
            return await loops.count("delivered", fine) == 200

        await loops.until(all_there)
        assert len(set(bodies)) == 200  # one whose lease ran out on a busy machine was sent twice
        assert len(stuck) <= 16
        release.set()
        for loop in loops.senders:
            await loop.stop()


async def test_receivers_that_fall_silent_leave_connections_to_other_tenants(loops: Loops) -> None:
    """They were well until now, so each is given as many connections as one that is well."""
    release = asyncio.Event()
    async with answering(release, OK) as (silent_url, silent), answering(None, OK) as (url, bodies):
        for tenant in ("ten_b", "ten_c", "ten_d"):
            for _ in range(4):
                await loops.world.endpoint(tenant, url=silent_url, patterns=["webhook.*"])
        fine = await loops.world.endpoint(url=url, patterns=["webhook.*"])
        await loops.world.heal()
        for tenant in ("ten_b", "ten_c", "ten_d"):
            await loops.append(100, tenant=tenant)

        async def taken() -> bool:
            return len(silent) >= 200

        await loops.until(taken)
        await loops.append(1)

        async def arrived() -> bool:
            return await loops.count("delivered", fine) == 1

        await loops.until(arrived)
        assert len(bodies) == 1
        assert await loops.count("delivered") == 1
        release.set()
        for loop in loops.senders:
            await loop.stop()


async def test_attempts_to_slow_endpoints_begin_one_after_the_other_and_others_do_not_wait(
    loops: Loops,
) -> None:
    for loop in loops.senders:
        loop._slow_starts = Spacer(3600.0)  # noqa: SLF001
    async with answering(None, OK) as (url, _):
        fine = await loops.world.endpoint(url=url, patterns=["webhook.*"])
        await loops.world.heal()
        slow = [await loops.world.endpoint(url=url, patterns=["webhook.*"]) for _ in range(5)]
        await loops.append(20)

        async def all_there() -> bool:
            return await loops.count("delivered", fine) == 20

        await loops.until(all_there)
        assert sum([await loops.count("delivered", one) > 0 for one in slow]) <= len(loops.senders)
        for loop in loops.senders:
            for waiting in loop._in_flight._attempts:  # noqa: SLF001
                waiting.cancel()


async def test_what_cannot_be_signed_goes_back_without_an_attempt(loops: Loops) -> None:
    async with answering(None, OK) as (url, bodies):
        await loops.world.endpoint(url=url, patterns=["webhook.*"])
        await loops.world.db.execute("UPDATE endpoint_secrets SET key_id = 'of nobody here'")
        await loops.append(1)

        async def set_aside() -> bool:
            return bool(loops.telemetry.of(OutboxSetAside))

        await loops.until(set_aside)
        assert bodies == []
        assert await loops.world.count("delivery_attempts") == 0
        assert await loops.count("pending") == 1


async def test_new_rows_do_not_wait_for_the_next_round_over_all_destinations(
    loops: Loops, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = OutboxSender._claim  # noqa: SLF001

    async def claim_new(
        one: OutboxSender[ClaimedDelivery, DeliveryOutcome],
        cursor: str | None,
        *,
        only: Collection[str] = (),
    ) -> OutboxBatch:
        return await claim(one, cursor, only=only) if only else OutboxBatch([], None, None)

    monkeypatch.setattr(OutboxSender, "_claim", claim_new)
    async with answering(None, OK) as (url, bodies):
        await loops.world.endpoint(url=url, patterns=["webhook.*"])
        await loops.append(1)

        async def arrived() -> bool:
            return await loops.count("delivered") == 1

        await loops.until(arrived)
        assert len(bodies) == 1


async def test_one_slow_round_is_no_reason_to_rest(loops: Loops) -> None:
    """The first one on a connection takes long, as its statement is prepared."""
    (sender, *_) = loops.senders
    await sender.stop()
    sender._empty_seconds = sender._rest_until = 0.0  # noqa: SLF001
    await sender._make_pass()  # noqa: SLF001
    assert sender._rest_until <= asyncio.get_running_loop().time()  # noqa: SLF001


_MANY_SUSPENDED = """
WITH made AS (
    INSERT INTO endpoints
    SELECT (jsonb_populate_record(e, jsonb_build_object('id', e.id || n, 'tenant_id', 'ten_suspended'))).*
    FROM endpoints e, generate_series(1, $2) n WHERE e.id = $1 RETURNING id
)
INSERT INTO outbox (kind, id, destination_id, due_at) SELECT 'webhook', 'dlv_' || id, id, $3 FROM made
"""


async def test_a_sender_rests_after_a_round_over_destinations_that_nothing_may_be_sent_to(
    database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Loops(database, senders=1)
    endpoint = await one.world.endpoint()
    count = DESTINATIONS_PER_CLAIM + 50
    await database.execute(_MANY_SUSPENDED, endpoint.id, count, system_clock() - timedelta(seconds=60))
    await database.execute(
        "INSERT INTO tenants (id, status, created_at, updated_at) VALUES ('ten_suspended', 'suspended', now(), now())"
    )
    look = 1000.0
    for module in (in_flight_limiter, sender):
        monkeypatch.setattr(module, "LOOK_SECONDS", look)
    soon = system_clock() + timedelta(seconds=0.9 * look)
    await database.execute("UPDATE outbox SET due_at = $1 WHERE id = (SELECT min(id) FROM outbox)", soon)
    make_pass = one.senders[0].loop._make_pass  # noqa: SLF001  the loop is not started
    monkeypatch.setattr(sender, "REST_FACTOR", 1e9)
    assert await make_pass() == 0.0, "there is a second window"
    assert 0.0 < await make_pass() < 0.9 * look, "what is due in the first window counts too"
    claims = await database.fetchval("SELECT max(fence) FROM outbox")
    assert 0.9 * look < await make_pass() <= look, "it rests, however often it is woken"
    assert claims == 0
