"""The router: each kind of subscriber has its sink, and what they make is made once or not at all."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from runwright.core.clock import system_clock
from runwright.db.pool import Pool, PoolConnection
from runwright.events.model import Event
from runwright.events.notifications import EventNotifications
from runwright.events.publish import publish_event
from runwright.events.store import subscribe
from runwright.loops.router import Router
from runwright.telemetry.events.routing import EventNotRouted, EventsWithoutSink
from tests.telemetry import RecordedTelemetry


class Sinks:
    """Writes what each kind gets into a table, and fails as often as it is told to after writing."""

    def __init__(self, db: Pool) -> None:
        self.db = db
        self.failures = 0
        self.bad: dict[int, str] = {}
        self.slices: dict[str, list[int]] = {}
        self.telemetry = RecordedTelemetry()

    async def take(self, db: PoolConnection, pairs: Sequence[tuple[Event, str]], _now: datetime) -> int:
        self.slices.setdefault(pairs[0][1].partition("_")[0], []).append(len(pairs))
        await db.executemany(
            "INSERT INTO got VALUES ($1, $2)", [(event.position, who) for event, who in pairs]
        )
        for code in [self.bad[event.position] for event, _ in pairs if event.position in self.bad]:
            await db.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")
        if self.failures:
            self.failures -= 1
            await db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return len(pairs)

    async def route(self, passes: int) -> None:
        router = Router(
            self.db,
            sinks={"wh": self.take, "agt": self.take},
            clock=system_clock,
            event_notifications=EventNotifications(origin="here", send=lambda _: None),
            emit=self.telemetry,
        )
        await router.start()
        await router.loop.reached(passes)
        await router.stop()

    async def got(self) -> list[tuple[int, str]]:
        return [tuple(row) for row in await self.db.fetch("SELECT * FROM got ORDER BY 1, 2")]


async def prepare(db: Pool, events: int) -> Sinks:
    await db.execute("CREATE TABLE got (position bigint, who text)")
    async with db.acquire() as connection, connection.transaction():
        for who in ("wh_a", "agt_a", "agt_b", "nob_a"):
            await subscribe(connection, tenant_id="ten_a", subscriber_id=who, patterns=["custom.*"])
        for _ in range(events):
            await publish_event(connection, "ten_a", "custom.x", {}, system_clock())
    return Sinks(db)


async def test_a_kind_gets_its_own_and_one_that_nobody_knows_is_noted(database: Pool) -> None:
    sinks = await prepare(database, 2)
    await sinks.route(1)
    assert [who for _, who in await sinks.got()] == ["agt_a", "agt_b", "wh_a"] * 2
    assert EventsWithoutSink(kind="nob", count=2) in sinks.telemetry.events


@pytest.mark.parametrize(
    ("events", "hooks", "agents"), [(250, [250], [250] * 2), (251, [250, 1], [250, 250, 2])]
)
async def test_what_a_sink_gets_at_once_is_bounded_and_no_pair_is_lost_or_doubled_at_the_border(
    database: Pool, events: int, hooks: list[int], agents: list[int]
) -> None:
    sinks = await prepare(database, events)
    await sinks.route(1)
    assert sinks.slices == {"wh": hooks, "agt": agents}
    got = await sinks.got()
    assert len(got) == len(set(got)) == 3 * events


async def test_a_connection_that_dies_after_a_sink_wrote_neither_loses_nor_doubles(database: Pool) -> None:
    sinks = await prepare(database, 50)
    sinks.failures = 2
    await sinks.route(3)
    got = await sinks.got()
    assert sinks.failures == 0
    assert len(got) == len(set(got)) == 150


async def test_an_event_that_fails_holds_up_no_other(database: Pool) -> None:
    """One that can never be routed is dropped; one that others may be to blame for stays in the queue."""
    sinks = await prepare(database, 6)
    positions = await database.fetchval("SELECT array_agg(position ORDER BY position) FROM event_queue")
    hopeless, kept = positions[1:3]
    sinks.bad = {hopeless: "23514", kept: "XX000"}
    await sinks.route(2)
    assert len(await sinks.got()) == 12
    assert [row[0] for row in await database.fetch("SELECT position FROM event_queue")] == [kept]
    assert {(e.position, e.dropped) for e in sinks.telemetry.of(EventNotRouted)} == {
        (hopeless, True),
        (kept, False),
    }
    sinks.bad = {}
    await sinks.route(1)
    assert len(await sinks.got()) == 15
