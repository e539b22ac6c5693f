"""A limit on what a sender has in flight, with what is known of its destinations.

A destination counts as slow where its last attempt failed or took long, or where one has been waiting for
its response for that long; the next attempt that succeeds in time ends that.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Final

import msgspec

from runwright.outbox.queue import InFlight, OutboxClaim, OutboxQueue

LOOK_SECONDS: Final = 1.0
GATHER_SECONDS: Final = 0.005
"""The least time between two claims, so that each finds more than what has just ended."""
LATE_FACTOR: Final = 4
LATE_SECONDS: Final = 0.1
"""A turn that comes late is followed by a pause of so many times what it was late, at most so long."""

STOP_SECONDS: Final = 12.0
MOST_REMEMBERED: Final = 4096
"""Slow destinations that are remembered while nothing is in flight to them."""


class _Attempt(msgspec.Struct, frozen=True):
    claim: OutboxClaim
    began: float


class InFlightLimiter:
    """Runs attempts and counts those that have not ended; `on_end` is called at each end."""

    def __init__(self, queue: OutboxQueue, *, on_end: Callable[[], None]) -> None:
        self._queue = queue
        self._on_end = on_end
        self._attempts: dict[asyncio.Task[bool], _Attempt] = {}
        self._slow: OrderedDict[str, None] = OrderedDict()

    @property
    def free(self) -> int:
        """How many more attempts may begin."""
        return self._queue.max_in_flight - len(self._attempts)

    def snapshot(self) -> InFlight:
        """Return what is in flight now."""
        slow = {*self._slow, *self._waiting_long()}
        attempts = self._attempts.values()
        return InFlight(
            by_tenant=Counter(one.claim.tenant_id for one in attempts),
            slow_by_tenant=Counter(
                one.claim.tenant_id for one in attempts if one.claim.slow or one.claim.destination_id in slow
            ),
            slow_destinations=slow,
        )

    def begin(self, claim: OutboxClaim, work: Coroutine[object, object, bool]) -> None:
        """Make an attempt beside what is in flight. It returns whether the destination is slow."""
        task = asyncio.get_running_loop().create_task(work)
        self._attempts[task] = _Attempt(claim, asyncio.get_running_loop().time())
        task.add_done_callback(self._end)

    async def stop(self) -> None:
        """Wait for what is in flight, and cancel what takes longer than `STOP_SECONDS`; safe twice."""
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _waiting_long(self) -> set[str]:
        since = asyncio.get_running_loop().time() - self._queue.slow_seconds
        return {one.claim.destination_id for one in self._attempts.values() if one.began < since}

    def _end(self, task: asyncio.Task[bool]) -> None:
        destination_id = self._attempts.pop(task).claim.destination_id
        if not task.cancelled() and task.exception() is None:
            self._slow.pop(destination_id, None)
            if task.result():
                self._slow[destination_id] = None
        if len(self._slow) > MOST_REMEMBERED:
            self._slow.popitem(last=False)
        self._on_end()


class Spacer:
    """Lets callers continue one after the other, with a least time between two of them.

    A turn that comes late, because the loop or the machine is busy, makes the next ones rarer, so that what
    has no turn to wait for is not held up by these.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until it is the caller's turn."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            due = max(loop.time(), self._next)
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            self._next = now + self._seconds + min(LATE_FACTOR * (now - due), LATE_SECONDS)


def pause_until_due(next_due: datetime | None, now: datetime) -> float:
    """Return the seconds until the next row is due, at most `LOOK_SECONDS`: a notification may be lost."""
    wait = LOOK_SECONDS if next_due is None else (next_due - now).total_seconds()
    return min(max(wait, GATHER_SECONDS), LOOK_SECONDS)
