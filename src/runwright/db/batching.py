"""Group commit: while one batch commits, the next one gathers.

Under load one transaction per request is the ceiling of a database; one transaction per
batch is not. `Batcher.add` returns a future that resolves when the item's batch has
committed, so no caller sees success before the item is durable.

Failure handling, by what the error proves (`db/errors.py`):
- A cause that passes: the same batch is sent again for up to `retry_seconds`; flush functions must
  therefore be idempotent (their items carry ids assigned beforehand, or compare-and-set on a fence).
- Any other cause may be the fault of one item: the batch is halved until that item is alone. So is a batch
  that has waited for a lock in vain a few times, which may be a lock on one row.
- An item that is alone and surely at fault fails with the error. One that is not fails as unavailable, or
  is kept for ever where `retry_seconds` is infinite; neither holds up the batches that follow.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from runwright.core.errors import UnavailableError
from runwright.db import patience
from runwright.db.errors import invalid, may_be_one_items, transient, unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

Flush = Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]]
_Batch: TypeAlias = list[tuple[Item, asyncio.Future[Result]]]


RETRY_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5
SPLIT_AFTER_TRIES: Final = 3
"""How often a batch may wait for a lock in vain before it is halved."""

REQUEST_SECONDS: Final = 2.0
"""How long a request waits for its write before it is refused: a client can do more with an answer."""

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Most data of one batch, unless a single item has more: it is encoded in one step of the event loop."""


async def retry_transient(
    send: Callable[[], Awaitable[Result]], *, seconds: float, pause_seconds: float = RETRY_PAUSE_SECONDS
) -> Result:
    """Return the result of an idempotent operation, retrying transient errors for up to `seconds`.

    An attempt that has no answer by then is given up with TimeoutError, also while it hangs.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    waiting = patience.current()
    if waiting is not None:
        deadline = waiting.retry_until(deadline)
    while True:
        try:
            async with asyncio.timeout_at(deadline if seconds else None):
                return await send()
        except Exception as error:
            if not transient(error) or loop.time() >= deadline:
                raise
        await asyncio.sleep(pause_seconds)


class SplitDecision:
    """When a loop takes the rows of a batch that fails one at a time, by the rules of `Batcher`."""

    def __init__(self) -> None:
        self._failures = 0

    def after(self, error: Exception) -> bool:
        """Count a failed batch; return whether its rows are taken one at a time."""
        self._failures += 1
        return _divides(error, self._failures)

    def passed(self) -> None:
        """Report a batch that did not fail."""
        self._failures = 0


_Act: TypeAlias = Callable[[Sequence[Item]], Awaitable[object]]


async def divide(
    items: Sequence[Item], act: _Act[Item], split: SplitDecision
) -> list[tuple[Item, Exception]]:
    """Act on items together or, where that fails, on each half; return those that fail alone, and why.

    `act` is one transaction. An error is raised at once that no single item can have caused, and so is one
    that may pass until it has been raised a few times in a row.
    """
    try:
        await act(items)
    except Exception as error:
        if not split.after(error):
            raise
        return await _act_on_halves(items, act, error)
    split.passed()
    return []


async def _act_on_halves(
    items: Sequence[Item], act: _Act[Item], error: Exception
) -> list[tuple[Item, Exception]]:
    if len(items) == 1:
        return [(items[0], error)]
    failed: list[tuple[Item, Exception]] = []
    half = len(items) // 2
    for part in (items[:half], items[half:]):
        try:
            await act(part)
        except Exception as again:
            if not may_be_one_items(again):
                raise
            failed += await _act_on_halves(part, act, again)
    return failed


class Batcher(Generic[Item, Result]):
    """Collects items and passes them to `flush` in batches, with up to `max_in_flight` batches at once."""

    def __init__(
        self,
        flush: Flush[Item, Result],
        *,
        max_items: int = 256,
        max_in_flight: int = 1,
        retry_seconds: float = REQUEST_SECONDS,
        size_of: Callable[[Item], int] = lambda _: 0,
    ) -> None:
        """`retry_seconds` infinite: no item fails unless it is surely at fault. `size_of`: in bytes."""
        self._flush = flush
        self._max_items = max_items
        self._max_in_flight = max_in_flight
        self._retry_seconds = retry_seconds
        self._size_of = size_of
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drains = 0
        self._slots = asyncio.Semaphore(max_in_flight)
        self._starting = False
        self._closed = False
        self._failing = False
        self._patient = patience.FutureWatch(lambda: self._failing)

    def add(self, item: Item) -> asyncio.Future[Result]:
        """Queue one item; return a future that resolves with its result after the commit.

        A request whose patience is over gets UnavailableError; its item may be committed nevertheless, unless
        it was still waiting for its batch. Where items are kept for ever, no request has patience for them.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if self._closed:
            future.set_exception(UnavailableError("The server is stopping."))
            return future
        waiting = patience.current()
        if waiting is not None and self._retry_seconds < math.inf:
            self._patient.add(waiting, future)
        self._waiting.append((item, future))
        if not self._starting and self._drains < self._max_in_flight:
            self._starting = True
            # Deferred, so that items added in the same iteration of the event loop share a batch.
            loop.call_soon(self._start_drain)
        return future

    async def stop(self, within_seconds: float = math.inf) -> None:
        """Refuse further items and wait until all accepted ones are committed or have failed.

        Gives up after `within_seconds`: what is left then is neither.
        """
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if within_seconds == math.inf else within_seconds):
                await self._until_idle()
        for task in (left := set(self._tasks)):
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _until_idle(self) -> None:
        while self._tasks or self._starting:
            await asyncio.sleep(0)
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _start_drain(self) -> None:
        self._starting = False
        self._drains += 1
        self._spawn(self._drain())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        with patience.unhurried():
            task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                deadline = asyncio.get_running_loop().time() + self._retry_seconds
                taken = self._take()
                await self._commit([one for one in taken if not one[1].done()], deadline)
        finally:
            self._drains -= 1  # at once: an item added from now on needs a new drain

    def _take(self) -> _Batch[Item, Result]:
        """Return the items of the next batch."""
        taken: _Batch[Item, Result] = []
        size = 0
        while self._waiting and len(taken) < self._max_items:
            size += self._size_of(self._waiting[0][0])
            if taken and size > BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _commit(self, batch: _Batch[Item, Result], deadline: float, *, aside: bool = False) -> None:
        """Flush a batch until it is decided; return early where a task of its own continues with it."""
        tries = 0
        if not batch:
            return  # all of their callers have given up
        while (error := await self._try(batch, deadline)) is not None and not self._give_up(
            batch, error, deadline
        ):
            tries += 1
            if _divides(error, tries) and not (aside and len(batch) == 1):
                self._set_aside(batch, deadline)
                return
            await asyncio.sleep(min(RETRY_PAUSE_SECONDS * 2 ** min(tries - 1, 10), LONGEST_PAUSE_SECONDS))

    async def _try(self, batch: _Batch[Item, Result], deadline: float) -> Exception | None:
        """Flush a batch once; return what went wrong, TimeoutError where it hangs until the deadline."""
        bounded = 0 < self._retry_seconds < math.inf
        try:
            async with self._slots, asyncio.timeout_at(deadline if bounded else None):
                results = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  the error is passed to the callers
            self._failing = True
            return error
        self._failing = False
        for (_, future), result in zip(batch, results, strict=True):
            _resolve(future, result)
        return None

    def _set_aside(self, batch: _Batch[Item, Result], deadline: float) -> None:
        """Continue with each half of a batch beside the batches that follow."""
        half = len(batch) // 2
        for part in filter(None, (batch[:half], batch[half:])):
            self._spawn(self._commit(part, deadline, aside=True))

    def _give_up(self, batch: _Batch[Item, Result], error: Exception, deadline: float) -> bool:
        """Fail a batch if its time is over, or if it is one item that is at fault or not kept."""
        hopeless = len(batch) == 1 and (
            invalid(error) or (not transient(error) and self._retry_seconds != math.inf)
        )
        if hopeless or (transient(error) and asyncio.get_running_loop().time() >= deadline):
            for _, future in batch:
                _resolve(future, _public_error(error))
            return True
        return False


def _divides(error: Exception, tries: int) -> bool:
    return not transient(error) or (may_be_one_items(error) and tries >= SPLIT_AFTER_TRIES)


def _public_error(error: Exception) -> Exception:
    return UnavailableError("The database is unavailable; try again.") if unavailable(error) else error


def _resolve(future: asyncio.Future[Result], result: Result | BaseException) -> None:
    if future.done():  # cancelled by the caller
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
