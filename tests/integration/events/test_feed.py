"""The event feed: every stream gets every event of its tenant once, whenever it was committed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from runwright.core import turns
from runwright.db.pool import Pool, PoolConnection
from runwright.events import feed as feed_module
from runwright.events import feed_store
from runwright.events.feed import EventFeed
from runwright.events.feed_store import prune_watches
from runwright.events.feed_stream import (
    MOST_PENDING,
    MOST_PENDING_BYTES,
    EndReason,
    FeedEvent,
    FeedPart,
    FeedStream,
    Gone,
    JobHint,
    LogHint,
)
from runwright.events.log_position import LogPosition, parse_position
from runwright.events.notifications import EventNotifications
from runwright.events.store import append_event
from tests.integration.jobs.world import EXECUTOR, START, World


class Feed(EventFeed):
    """A feed whose clock a test owns, and whose passes it makes."""

    def __init__(self, db: Pool) -> None:
        self.seconds = 0.0
        self.sent: list[str] = []
        notifications = EventNotifications(origin="test", send=self.sent.append)
        super().__init__(db, notifications=notifications, monotonic=lambda: self.seconds)

    async def forward(self, seconds: float) -> None:
        self.seconds += seconds
        await self.make_pass()

    async def settle(self) -> None:
        """Make the passes after which what is committed is settled."""
        for _ in range(4):
            await self.forward(1.5)


def every(_: FeedEvent | JobHint) -> bool:
    return True


@asynccontextmanager
async def open_stream(feed: Feed, tenant: str = "ten_a") -> AsyncIterator[FeedStream]:
    stream = FeedStream(every)
    with feed.streaming(tenant, stream):
        await feed.forward(1)
        assert stream.joined.is_set()
        yield stream


async def append(db: Pool, subject: str, tenant: str = "ten_a") -> int:
    async with db.acquire() as connection, connection.transaction():
        return await append_uncommitted(connection, subject, tenant)


async def append_uncommitted(db: PoolConnection, subject: str, tenant: str = "ten_a") -> int:
    return await append_event(db, tenant_id=tenant, type="custom.x", subject_id=subject, now=START)


async def subjects(stream: FeedStream) -> list[str]:
    return names(await stream.next(0) or [])


def names(parts: Sequence[FeedPart]) -> list[str]:
    return [
        part.logged.event.subject_id if isinstance(part, FeedEvent) else type(part).__name__ for part in parts
    ]


async def missed(feed: Feed, stream: FeedStream, since: LogPosition, tenant: str = "ten_a") -> list[str]:
    return [name async for parts in feed.missed(tenant, stream, since) for name in names(parts)]


async def test_streams_get_what_happens_after_they_joined_and_nothing_else(database: Pool) -> None:
    feed = Feed(database)
    await append(database, "before")
    async with open_stream(feed) as stream, open_stream(feed, "ten_b") as other:
        await append(database, "after")
        await append(database, "theirs", "ten_b")
        await append(database, "nobody's", "ten_c")
        await feed.forward(1)
        assert await subjects(stream) == ["after"]
        assert await subjects(other) == ["theirs"]
        async with open_stream(feed) as later:
            await append(database, "last")
            await feed.forward(1)
            assert await subjects(stream) == ["last"]
            assert await subjects(later) == ["last"]
    assert not feed.watched


async def test_a_stream_joins_at_once_however_much_has_happened_just_before(database: Pool) -> None:
    feed = Feed(database)
    await append(database, "before")
    async with database.acquire() as connection:
        columns = "tenant_id, type, subject_id, created_at"
        await connection.execute(
            f"INSERT INTO events ({columns}) SELECT {columns} FROM events, generate_series(1, $1::int)",
            feed_module.ROUNDS * feed_module.BATCH + 1,
        )
    async with open_stream(feed) as stream:
        await append(database, "after")
        await feed.forward(1)
        assert await subjects(stream) == ["after"]


async def test_what_is_committed_late_is_not_missed_and_comes_once(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as stream, database.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await append_uncommitted(slow, "early and late")
        await append(database, "late and early")
        await feed.settle()
        assert await subjects(stream) == ["late and early"]
        position = feed.position("ten_a")
        await transaction.commit()
        await feed.forward(1)
        assert await subjects(stream) == ["early and late"]
        await feed.settle()
        assert await subjects(stream) == []
        assert position is not None
        async with open_stream(feed) as resumed:
            assert await missed(feed, resumed, position) == ["early and late"]


async def test_positions_settle_so_that_little_is_read_again(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as stream:
        last = 0
        for n in range(50):
            last = await append(database, str(n))
        await feed.settle()
        assert await subjects(stream) == [str(n) for n in range(50)]
        position = feed.position("ten_a")
        assert position is not None
        assert (position.settled, position.above) == (last, ())


async def test_a_resumed_stream_gets_what_it_missed_and_then_what_came_meanwhile(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as stream:
        for name in ("a", "b"):
            await append(database, name)
        await feed.forward(1)
        first, second = await stream.next(0) or []
        assert isinstance(first, FeedEvent)
        assert isinstance(second, FeedEvent)
    await append(database, "c")
    async with open_stream(feed) as resumed:
        await append(database, "d")
        await feed.forward(1)
        since = parse_position(first.position.text)
        assert since is not None
        assert await missed(feed, resumed, since) == ["b", "c", "d"]
        assert await subjects(resumed) == []
        await append(database, "e")
        await feed.forward(1)
        assert await subjects(resumed) == ["e"]
    async with open_stream(feed) as again:
        assert await missed(feed, again, second.position) == ["c", "d", "e"]


async def test_a_long_gap_is_read_in_parts_and_each_part_can_be_resumed(
    database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MISSED_BATCH", 3)
    feed = Feed(database)
    async with open_stream(feed):
        since = feed.position("ten_a")
        assert since is not None
        for n in range(10):
            await append(database, str(n))
        await feed.settle()
        await append(database, "10")
        async with open_stream(feed) as resumed:
            batches = [list(some) async for some in feed.missed("ten_a", resumed, since)]
        assert max(map(len, batches)) == 3
        parts = [part for batch in batches for part in batch]
        assert names(parts) == [str(n) for n in range(11)]
        for index, part in enumerate(parts):
            assert isinstance(part, FeedEvent)
            async with open_stream(feed) as again:
                rest = await missed(feed, again, part.position)
            assert rest == [str(n) for n in range(index + 1, 11)]


async def test_a_stream_that_missed_too_much_is_told_so_and_goes_on(
    database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MOST_MISSED", 2)
    feed = Feed(database)
    async with open_stream(feed):
        since = feed.position("ten_a")
        assert since is not None
        for name in ("a", "b", "c"):
            await append(database, name)
        async with open_stream(feed) as resumed:
            assert await missed(feed, resumed, since) == ["Gone"]
            await append(database, "d")
            await feed.forward(1)
            assert await subjects(resumed) == ["d"]


async def test_a_position_from_before_a_gap_in_the_log_is_gone(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed):
        since = feed.position("ten_a")
    assert since is not None
    await database.execute("UPDATE event_watches SET expires_at = now() - interval '1 second'")
    assert await prune_watches(database, limit=10) == 1
    async with open_stream(feed) as resumed:
        assert await missed(feed, resumed, since) == ["Gone"]


async def test_a_position_whose_events_were_deleted_is_gone(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed):
        since = feed.position("ten_a")
        assert since is not None
        positions = [await append(database, str(n)) for n in range(3)]
        async with open_stream(feed) as resumed:
            assert await missed(feed, resumed, since) == ["0", "1", "2"]
            await database.execute("DELETE FROM events WHERE position <= $1", positions[1])
            assert await missed(feed, resumed, since) == ["Gone"]


async def test_a_watch_that_was_lost_is_reported_to_open_streams(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as stream:
        await database.execute("UPDATE event_watches SET epoch = 1")
        await feed.forward(100)
        assert names(await stream.next(0) or []) == ["Gone"]


async def test_a_client_that_takes_nothing_is_cut_off_and_holds_up_no_other(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as slow, open_stream(feed) as quick:
        slow.offer([LogHint("job_x", "wkr_x")] * MOST_PENDING)
        await append(database, "one more")
        await feed.forward(1)
        assert slow.ended is EndReason.SLOW
        assert await slow.next(0) is None
        assert await subjects(quick) == ["one more"]


async def test_a_client_that_takes_nothing_has_little_data_waiting(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as slow:
        await append(database, "a")
        await feed.make_pass()
        [part] = await slow.next(0) or []
        assert isinstance(part, FeedEvent)
        event = msgspec.structs.replace(part.logged.event, data=msgspec.Raw(b"1" * 16_000))
        large = FeedEvent(msgspec.structs.replace(part.logged, event=event), part.position)
        fit = MOST_PENDING_BYTES // 16_000
        slow.offer([large] * fit)
        assert len(await slow.next(0) or []) == fit
        slow.offer([large] * fit)
        slow.offer([large])
        assert slow.ended is EndReason.SLOW
        assert await slow.next(0) is None


async def test_a_heartbeat_has_no_position_of_what_its_stream_was_not_given(
    database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that resumes there would miss it."""
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    feed = Feed(database)
    async with open_stream(feed) as stream:
        for number in range(5):
            await append(database, str(number))
        before, steps = feed.position("ten_a"), 0
        passing = asyncio.create_task(feed.make_pass())
        while not passing.done():
            await asyncio.sleep(0)
            position = feed.position("ten_a")
            if position != before:
                assert names(await stream.next(0) or []) == ["0", "1", "2", "3", "4"]
                break
            steps += 1
        await passing
        assert steps > 5
        assert feed.position("ten_a") != before


async def test_one_statement_reads_for_all_streams(database: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(database)
    reads = 0
    read = feed_store.fetch_unseen

    async def count(*arguments: object, **options: object) -> object:
        nonlocal reads
        reads += 1
        return await read(*arguments, **options)  # type: ignore[arg-type]

    streams = [FeedStream(every) for _ in range(100)]
    contexts = [feed.streaming(f"ten_{n % 10}", stream) for n, stream in enumerate(streams)]
    for context in contexts:
        context.__enter__()
    await feed.forward(1)
    monkeypatch.setattr(feed_module, "fetch_unseen", count)
    for n in range(10):
        await append(database, "x", f"ten_{n}")
    await feed.forward(1)
    assert reads == 1
    assert [await subjects(stream) for stream in streams] == [["x"]] * 100
    for context in contexts:
        context.__exit__(None, None, None)


async def test_a_stop_ends_all_streams_after_what_is_pending(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as stream:
        waiting = asyncio.create_task(stream.next(60))
        await append(database, "last")
        await feed.forward(1)
        assert names(await waiting or []) == ["last"]
        waiting = asyncio.create_task(stream.next(60))
        await asyncio.sleep(0)
        feed.end()
        assert await waiting is None
        assert stream.ended is EndReason.STOPPING
        late = FeedStream(every)
        with feed.streaming("ten_a", late):
            assert await late.wait_joined(60)
            assert await late.next(60) is None


async def test_frequent_events_are_kept_while_a_stream_is_open_and_never_routed(database: Pool) -> None:
    world, feed = World(database), Feed(database)
    worker = await world.worker()
    await world.job(worker)
    async with open_stream(feed) as stream:
        await world.job(worker)
        await world.executor()
        await world.claim_all(EXECUTOR)
        await feed.forward(1)
        parts = [part for part in await stream.next(0) or [] if isinstance(part, FeedEvent)]
        assert [part.logged.event.type for part in parts] == ["job.queued", "job.started", "job.started"]
        assert {part.logged.worker_id for part in parts} == {worker.id}
    assert await database.fetchval("SELECT count(*) FROM event_queue") == 0
    assert "test subscribed" in feed.sent


async def test_gone_has_the_position_to_go_on_from(database: Pool) -> None:
    feed = Feed(database)
    async with open_stream(feed) as stream:
        assert stream.start is not None
        [[part]] = [parts async for parts in feed.missed("ten_a", stream, LogPosition(1, 0))]
        assert part == Gone(stream.start)
