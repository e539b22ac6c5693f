"""Group commit: while one batch commits, the next one gathers.

Under load one transaction per request is the ceiling of a database; one transaction per
batch is not. `Batcher.add` returns a future that resolves when the item's batch has
committed, so no caller sees success before the item is durable.

Failure handling: when the connection is lost the outcome of a batch is unknown, so the
same batch is sent again for up to `retry_seconds`; flush functions must therefore be
idempotent (their items carry ids assigned beforehand, or compare-and-set on a fence). Any
other error is attributed to one item: the batch is split and sent item by item, so that only
the bad item fails.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from runwright.core.errors import UnavailableError
from runwright.db.errors import transient

Item = TypeVar("Item")
Result = TypeVar("Result")

Flush = Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]]


RETRY_PAUSE_SECONDS: Final = 0.05
REQUEST_SECONDS: Final = 2.5
"""How long a request waits for its write before it is refused: a client can do more with an answer."""


async def retry_transient(send: Callable[[], Awaitable[Result]], *, seconds: float) -> Result:
    """Return the result of an idempotent operation, retrying transient errors for up to `seconds`.

    An attempt that has no answer by then is given up with TimeoutError, also while it hangs.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline if seconds else None):
                return await send()
        except Exception as error:
            if not transient(error) or loop.time() >= deadline:
                raise
        await asyncio.sleep(RETRY_PAUSE_SECONDS)


class Batcher(Generic[Item, Result]):
    """Collects items and passes them to `flush` in batches, with up to `max_in_flight` batches at once."""

    def __init__(
        self,
        flush: Flush[Item, Result],
        *,
        max_items: int = 256,
        max_in_flight: int = 1,
        retry_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_in_flight = max_in_flight
        self._retry_seconds = retry_seconds
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = False
        self._closed = False

    def add(self, item: Item) -> asyncio.Future[Result]:
        """Queue one item; return a future that resolves with its result after the commit."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if self._closed:
            future.set_exception(UnavailableError("The server is stopping."))
            return future
        self._waiting.append((item, future))
        if not self._starting and len(self._tasks) < self._max_in_flight:
            self._starting = True
            # Deferred, so that items added in the same iteration of the event loop share a batch.
            loop.call_soon(self._start_drain)
        return future

    async def stop(self) -> None:
        """Refuse further items and wait until all accepted ones are committed or have failed."""
        self._closed = True
        while self._tasks or self._starting:
            await asyncio.sleep(0)
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _start_drain(self) -> None:
        self._starting = False
        task = asyncio.get_running_loop().create_task(self._drain())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        while self._waiting:
            count = min(self._max_items, len(self._waiting))
            await self._commit([self._waiting.popleft() for _ in range(count)])

    async def _commit(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush_with_retries([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  the error is passed to the callers
            if len(batch) == 1 or transient(error):
                for _, future in batch:
                    _resolve(future, _public_error(error))
                return
            for single in batch:
                await self._commit([single])
            return
        for (_, future), result in zip(batch, results, strict=True):
            _resolve(future, result)

    async def _flush_with_retries(self, items: list[Item]) -> Sequence[Result | BaseException]:
        return await retry_transient(lambda: self._flush(items), seconds=self._retry_seconds)


def _public_error(error: Exception) -> Exception:
    return UnavailableError("The database is out of reach; try again.") if transient(error) else error


def _resolve(future: asyncio.Future[Result], result: Result | BaseException) -> None:
    if future.done():  # cancelled by the caller
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
