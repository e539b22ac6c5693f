"""Group commit: what travels together, and what happens when a batch goes wrong."""

import asyncio
import math
from collections.abc import Sequence

import asyncpg
import pytest

from runwright.core.errors import ConflictError, UnavailableError
from runwright.db import batching
from runwright.db.batching import Batcher, retry_transient


class Store:
    """Something to flush into that can be told to wait or to fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self.errors: list[Exception] = []
        self.poisonous = True

    async def flush(self, items: Sequence[int]) -> Sequence[int | BaseException]:
        self.entered.set()
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        if self.poisonous and -1 in items:
            raise ValueError("a poisonous item")
        self.batches.append(list(items))
        return [item * 2 for item in items]


async def test_items_of_one_turn_travel_together_and_those_behind_them_gather() -> None:
    store = Store()
    batcher = Batcher(store.flush)
    store.open.clear()
    first = [batcher.add(n) for n in range(3)]
    await store.entered.wait()
    second = [batcher.add(n) for n in range(3, 10)]
    store.open.set()
    assert await asyncio.gather(*first, *second) == [n * 2 for n in range(10)]
    assert store.batches == [[0, 1, 2], list(range(3, 10))]


async def test_a_batch_is_never_larger_than_its_limit() -> None:
    store = Store()
    batcher = Batcher(store.flush, max_items=4)
    await asyncio.gather(*(batcher.add(n) for n in range(10)))
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


async def test_a_batch_has_no_more_bytes_than_its_limit_but_for_a_single_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", 10)
    store = Store()
    batcher = Batcher(store.flush, size_of=lambda n: n)
    await asyncio.gather(*(batcher.add(n) for n in (3, 7, 1, 30, 4, 4, 4)))
    assert store.batches == [[3, 7], [1], [30], [4, 4], [4]]


async def test_a_bad_item_fails_alone() -> None:
    store = Store()
    batcher = Batcher(store.flush)
    answers = await asyncio.gather(*(batcher.add(n) for n in (1, -1, 2)), return_exceptions=True)
    assert (answers[0], answers[2]) == (2, 4)
    assert isinstance(answers[1], ValueError)


async def test_a_lost_connection_is_waited_out() -> None:
    store = Store()
    store.errors = [ConnectionResetError(), ConnectionRefusedError()]
    batcher = Batcher(store.flush)
    assert await batcher.add(21) == 42


async def test_a_connection_lost_for_good_is_told_as_unavailable() -> None:
    store = Store()
    store.errors = [ConnectionResetError()] * 3
    batcher = Batcher(store.flush, retry_seconds=0)
    with pytest.raises(UnavailableError):
        await batcher.add(1)


async def test_stop_commits_what_was_taken_and_takes_no_more() -> None:
    store = Store()
    batcher = Batcher(store.flush)
    store.open.clear()
    taken = batcher.add(1)
    await store.entered.wait()
    behind = batcher.add(2)
    stopping = asyncio.create_task(batcher.stop())
    store.open.set()
    await stopping
    assert (taken.result(), behind.result()) == (2, 4)
    with pytest.raises(UnavailableError):
        await batcher.add(3)


async def test_a_caller_who_went_away_harms_nobody() -> None:
    store = Store()
    batcher = Batcher(store.flush)
    gone, stays = batcher.add(1), batcher.add(2)
    gone.cancel()
    assert await stays == 4


async def test_an_item_that_is_kept_holds_up_no_other() -> None:
    """Not surely at fault, so it is tried until it is written, beside the batches that follow."""
    store = Store()
    batcher = Batcher(store.flush, retry_seconds=math.inf)
    kept = batcher.add(-1)
    assert await asyncio.gather(*(batcher.add(n) for n in (1, 2))) == [2, 4]
    assert await batcher.add(3) == 6
    assert not kept.done()
    store.poisonous = False
    assert await kept == -2


async def test_an_item_that_is_surely_at_fault_is_not_kept() -> None:
    """However long others would be."""
    store = Store()
    store.errors = [ConflictError("no")]
    with pytest.raises(ConflictError):
        await Batcher(store.flush, retry_seconds=math.inf).add(1)


async def test_an_item_added_when_the_last_one_ends_is_flushed() -> None:
    """Its callback runs before the event loop knows that the batches are over."""
    store = Store()
    batcher = Batcher(store.flush)
    added: list[asyncio.Future[int]] = []
    first = batcher.add(1)
    first.add_done_callback(lambda _done: added.append(batcher.add(2)))
    await first
    async with asyncio.timeout(60):
        while not added:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert await added[0] == 4


async def test_a_stop_does_not_wait_for_ever() -> None:
    """What is kept then is given up; the rows decide later."""
    store = Store()
    batcher = Batcher(store.flush, retry_seconds=math.inf)
    kept = batcher.add(-1)
    await store.entered.wait()
    await batcher.stop(0.0)
    assert not kept.done()
    kept.cancel()


async def test_a_batch_that_waits_for_locks_in_vain_is_halved() -> None:
    """One of its rows may be locked for long."""
    store = Store()
    store.errors = [asyncpg.LockNotAvailableError("no")] * 3
    batcher = Batcher(store.flush)
    assert await asyncio.gather(*(batcher.add(n) for n in range(4))) == [0, 2, 4, 6]
    assert store.batches == [[0, 1], [2, 3]]


async def test_an_error_that_does_not_heal_is_raised_at_once() -> None:
    calls = 0

    async def send() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await retry_transient(send, seconds=60)
    assert calls == 1
