"""A request waits for a silent database once and not once per call; for one that answers it waits on."""

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import pytest

from runwright.db import patience as module
from runwright.db.availability import Availability, DatabaseAwayError
from runwright.db.batching import Batcher, retry_transient
from runwright.db.connection import UNLIMITED
from runwright.db.patience import Wait, current, patience
from runwright.db.pool import Pool, close_pool, open_pool
from runwright.tenants.api_keys import ApiKeys
from runwright.tenants.model import new_key_text
from tests.garbage import instances, no_collections
from tests.integration.jobs.world import World

GUARD_SECONDS = 60.0
"""Without a patience what these tests await would never end."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.2)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(
        database_url, max_size=1, statement_class=UNLIMITED, availability=Availability(), within_seconds=0
    )
    yield pool
    await close_pool(pool)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def answering(availability: Availability) -> AsyncIterator[None]:
    """Something else of this process has answers meanwhile."""

    async def ping() -> None:
        while True:
            availability.answered()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(ping())
    try:
        yield
    finally:
        task.cancel()


async def test_a_statement_without_an_answer_is_refused(pool: Pool) -> None:
    with stopped(await pool.fetchval("SELECT pg_backend_pid()")), patience(Availability()):
        async with asyncio.timeout(GUARD_SECONDS):
            with pytest.raises(DatabaseAwayError):
                await pool.fetchval("SELECT 1")


async def test_so_is_a_transaction(pool: Pool) -> None:
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    async with asyncio.timeout(GUARD_SECONDS):
        with pytest.raises(DatabaseAwayError), stopped(pid), patience(Availability()):
            async with pool.acquire() as connection, connection.transaction():
                pass


async def test_so_is_the_wait_for_a_connection(pool: Pool) -> None:
    async with pool.acquire(), asyncio.timeout(GUARD_SECONDS):
        with patience(Availability()), pytest.raises(DatabaseAwayError):
            await pool.fetchval("SELECT 1")


async def test_so_is_the_lookup_of_a_key_that_others_share(pool: Pool) -> None:
    keys = ApiKeys(pool, clock=World(pool).clock)
    async with pool.acquire(), asyncio.timeout(GUARD_SECONDS):
        with patience(Availability()), pytest.raises(DatabaseAwayError):
            await keys.authenticate(new_key_text())


async def test_the_waits_of_a_request_add_up_to_one_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 30.0)
    loop, ends = asyncio.get_running_loop(), []
    with patience(Availability()) as one:
        for _ in range(3):
            async with Wait():
                ends.append(one.begin())
                await asyncio.sleep(0.05)
        assert one.retry_until(loop.time() + 60) <= max(ends[0], loop.time() + module.SILENT_SECONDS)
    assert len(set(ends)) == 1


async def test_a_wait_that_has_ended_leaves_nothing_to_collect() -> None:
    with no_collections(), patience(Availability()):
        async with Wait():
            pass
        assert instances(Wait) == 0


async def test_after_a_long_upload_the_patience_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    with patience(Availability()) as one:
        first = one.begin()
        await asyncio.sleep(0.02)
        assert one.begin() > first + 0.01


async def test_a_database_that_answers_may_take_its_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 1.0)
    availability = Availability()
    slow = await open_pool(database_url, max_size=1, statement_class=UNLIMITED, availability=availability)
    async with answering(availability):
        with patience(availability):
            assert await slow.fetchval("SELECT 1 FROM pg_sleep(2)") == 1
    await close_pool(slow)


async def test_what_waits_for_a_batch_is_refused_and_not_written_later() -> None:
    flushed: list[Sequence[int]] = []
    hanging = asyncio.Event()

    async def flush(items: Sequence[int]) -> Sequence[int]:
        flushed.append(items)
        await hanging.wait()
        return items

    batcher: Batcher[int, int] = Batcher(flush, max_items=1, retry_seconds=3600)
    with patience(Availability()):
        first, second = batcher.add(1), batcher.add(2)
        for future in (first, second):
            async with asyncio.timeout(GUARD_SECONDS):
                with pytest.raises(DatabaseAwayError):
                    await future
    third = batcher.add(3)
    hanging.set()
    assert await third == 3
    await batcher.stop()
    assert flushed == [[1], [3]]


async def test_a_batch_that_fails_again_and_again_is_refused_though_pings_are_answered() -> None:
    async def flush(_: Sequence[int]) -> Sequence[int]:
        raise ConnectionResetError

    availability = Availability()
    batcher: Batcher[int, int] = Batcher(flush, retry_seconds=3600)
    async with answering(availability), asyncio.timeout(GUARD_SECONDS):
        with patience(availability), pytest.raises(DatabaseAwayError):
            await batcher.add(1)
    await batcher.stop(0)


async def test_what_a_request_repeats_ends_with_its_patience() -> None:
    async def send() -> None:
        raise ConnectionResetError

    async with asyncio.timeout(GUARD_SECONDS):
        with patience(Availability()), pytest.raises(ConnectionResetError):
            await retry_transient(send, seconds=3600)


async def test_loops_and_batches_of_many_wait_on(pool: Pool) -> None:
    """Neither has a request's patience, though a request may have started the batch."""

    async def flush(items: Sequence[int]) -> Sequence[int]:
        assert module.current() is None
        return items

    batcher: Batcher[int, int] = Batcher(flush)
    with patience(Availability()):
        assert await batcher.add(1) == 1
    assert await pool.fetchval("SELECT 1 FROM pg_sleep(0.5)") == 1
    await batcher.stop()


async def test_what_a_request_has_left_behind_has_not_its_patience() -> None:
    served = asyncio.Event()

    async def left_behind() -> tuple[object, object]:
        during = current()
        await served.wait()
        return during, current()

    with patience(Availability()) as own:
        task = asyncio.create_task(left_behind())
        await asyncio.sleep(0)
    served.set()
    assert await task == (own, None)


async def test_what_is_kept_for_ever_is_refused_to_no_request() -> None:
    tries, lasting = 0, asyncio.Event()

    async def flush(items: Sequence[int]) -> Sequence[int]:
        nonlocal tries
        tries += 1
        if not lasting.is_set():
            raise asyncpg.DiskFullError("no space left")
        return items

    batcher: Batcher[int, int] = Batcher(flush, retry_seconds=math.inf)
    bounded: Batcher[int, int] = Batcher(flush, retry_seconds=GUARD_SECONDS)
    with patience(Availability()):
        kept, request = batcher.add(1), bounded.add(2)
        with pytest.raises(DatabaseAwayError):
            await request
    assert not kept.done()
    lasting.set()
    assert await kept == 1
    await asyncio.gather(batcher.stop(), bounded.stop())
