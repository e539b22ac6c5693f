"""Calls the handlers of completion callbacks when their targets (jobs, executions) have ended.

A pass takes due callbacks and, in the same transaction, calls the handlers with the ends: a crash before
the commit leaves the callbacks where they were, after it they are deleted, so each end is handled exactly
once. Dispatchers skip what another one holds, so any number of them may run.

Failure handling: where a batch fails, its callbacks are taken one by one, and one that fails alone is
postponed; it delays no other. Nor does one kind of target delay another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Generic

import msgspec

from runwright.core.clock import Clock, Stopwatch
from runwright.db.batching import SplitDecision
from runwright.db.errors import may_be_one_items
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import (
    CompletionCallback,
    CompletionSource,
    DueCallback,
    End,
    EndsNotReadError,
    any_callbacks,
    postpone_callback,
    take_due_callbacks,
)
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import EndedJob
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.jobs import CompletionCallbackFailed, CompletionsDispatched

BATCH: Final = 200
PAUSE_SECONDS: Final = 0.5
GATHER_SECONDS: Final = 0.02
POSTPONE_SECONDS: Final = 10.0
_COST_FACTOR: Final = 10
"""After a costly pass the next one comes no sooner than this many times what it took."""

CompletionHandler = Callable[[PoolConnection, Sequence[tuple[str, End]], datetime], Awaitable[None]]
"""Acts on ends, given as (subject, end), in the dispatcher's transaction."""

JobHandler = CompletionHandler[EndedJob]


class CompletionRoute(msgspec.Struct, Generic[End], frozen=True):
    """The handlers, by name, of one kind of target; callbacks of other handlers are left untouched."""

    source: CompletionSource[End]
    handlers: Mapping[str, CompletionHandler[End]]


class CompletionDispatcher(DatabaseLoop):
    """Looks twice a second, and soon after `notify`."""

    def __init__(
        self,
        db: Database,
        routes: Sequence[CompletionRoute[Any]],
        *,
        clock: Clock,
        event_notifications: EventNotifications,
        emit: Emit,
    ) -> None:
        super().__init__("completion dispatcher", db, clock=clock, emit=emit)
        self._routes = [(route, SplitDecision()) for route in routes]
        self._event_notifications = event_notifications
        self._any_callbacks = True
        self._took_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def stop(self) -> None:
        """Stop dispatching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await super().stop()

    def notify(self) -> None:
        """Make a pass soon: something may have ended. Cheap to call often."""
        if self._any_callbacks and self._timer is None:
            pause = max(GATHER_SECONDS, self._took_seconds * _COST_FACTOR)
            self._timer = asyncio.get_running_loop().call_later(pause, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.loop.wake()

    async def _make_pass(self) -> float:
        self._any_callbacks = await any_callbacks(self._db)
        if not self._any_callbacks:
            return PAUSE_SECONDS
        watch = Stopwatch()
        counts: list[int] = []
        errors: list[Exception] = []
        for route, split in self._routes:
            try:
                counts.append(await self._dispatch(route, split))
            except Exception as error:  # noqa: BLE001  raised below
                errors.append(error)
        self._took_seconds = watch.seconds()
        if errors:
            raise errors[0]
        return 0.0 if BATCH in counts else PAUSE_SECONDS

    async def _dispatch(self, route: CompletionRoute[End], split: SplitDecision) -> int:
        watch = Stopwatch()
        try:
            count = len(await self._take(route, BATCH))
            split.passed()
        except Exception as error:
            if not split.after(error):
                raise
            count = await self._take_singly(route)
        if count:
            self._emit(CompletionsDispatched(count=count, duration_seconds=watch.seconds()))
            self._event_notifications.appended()
            self._event_notifications.due()
        return count

    async def _take(self, route: CompletionRoute[End], limit: int) -> Sequence[DueCallback[End]]:
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            due = await _take_due(db, route, limit, now)
            await _handle(db, route, due, now)
            return due

    async def _take_singly(self, route: CompletionRoute[End]) -> int:
        """Take callbacks one at a time, and postpone those whose handler fails; return how many succeeded."""
        handled = 0
        for _ in range(BATCH):
            now = self._clock()
            due: Sequence[DueCallback[End]] = ()
            try:
                async with self._db.acquire() as db, db.transaction():
                    due = await _take_due(db, route, 1, now)
                    await _handle(db, route, due, now)
            except EndsNotReadError as error:
                await self._postpone(error.callbacks[0], error, now)
                continue
            except Exception as error:
                if not due or not may_be_one_items(error):
                    raise
                await self._postpone(due[0].callback, error, now)
                continue
            if not due:
                break
            handled += 1
        return handled

    async def _postpone(self, callback: CompletionCallback, error: Exception, now: datetime) -> None:
        self._emit(CompletionCallbackFailed(kind=callback.handler, error=error_text(error)))
        await postpone_callback(self._db, callback, until=now + timedelta(seconds=POSTPONE_SECONDS))


async def _take_due(
    db: PoolConnection, route: CompletionRoute[End], limit: int, now: datetime
) -> Sequence[DueCallback[End]]:
    return await take_due_callbacks(db, route.source, handlers=list(route.handlers), limit=limit, now=now)


async def _handle(
    db: PoolConnection, route: CompletionRoute[End], due: Sequence[DueCallback[End]], now: datetime
) -> None:
    for name, handler in route.handlers.items():
        ends = [(one.callback.subject_id, one.end) for one in due if one.callback.handler == name]
        if ends:
            await handler(db, ends, now)
