"""How long a request waits for a database that does not answer, whatever it calls on its way.

Each wait of a request has limits of its own (a connection, a statement, a batch, a lookup that is shared),
and one after the other they add up. So the HTTP edge gives every request a `Patience`; whatever it awaits of
the database is refused when `PATIENCE_SECONDS` are over since its first wait, if the database is silent
then: no statement and no ping of this process had an answer for `SILENT_SECONDS`. A database that answers may
take as long as the statement's own class allows.

Between two waits that are further apart than `PATIENCE_SECONDS` (an upload, a stream) the patience is
renewed. Without a Patience, in loops, nothing here applies.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from runwright.db.availability import Availability, DatabaseAwayError

PATIENCE_SECONDS: Final = 2.5
SILENT_SECONDS: Final = 1.25
"""Longer than the time between two pings (`db/notifications.py`)."""

LOOK_SECONDS: Final = 0.1
"""How often a request looks again whose patience is over while the database still answers."""

_SILENT: Final = "the database does not answer"


class Patience:
    """One request's."""

    def __init__(self, availability: Availability) -> None:
        self._availability = availability
        self._ends_at: float | None = None
        self._waited_at = 0.0

    def begin(self) -> float:
        """Return when the patience of a wait that begins now is over, by the loop's clock."""
        now = asyncio.get_running_loop().time()
        if self._ends_at is None or now - self._waited_at > PATIENCE_SECONDS:
            self._ends_at = now + PATIENCE_SECONDS
        self._waited_at = now
        return self._ends_at

    def end(self) -> None:
        """Report the end of a wait."""
        self._waited_at = asyncio.get_running_loop().time()

    def silent(self) -> bool:
        """Return whether the database is silent."""
        return self._availability.silent_seconds() >= SILENT_SECONDS

    def retry_until(self, deadline: float) -> float:
        """Return until when an operation is repeated that would be until `deadline`."""
        least = asyncio.get_running_loop().time() + SILENT_SECONDS
        return min(deadline, max(self.begin(), least))

    def watch(self, future: "asyncio.Future[Any]", *, failing: Callable[[], bool]) -> None:
        """Refuse a future when the patience is over and the database is silent, or `failing`."""
        _Watch(self, lambda: self._refuse(future), failing).attach(future)

    def _refuse(self, future: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_exception(DatabaseAwayError(_SILENT))


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


def current() -> Patience | None:
    """Return the patience of the request that is being served; None elsewhere."""
    return _patience.get()


P = TypeVar("P", bound=Patience | None)


class _Serving(Generic[P]):
    """A block in which a patience applies, or none."""

    __slots__ = ("_patience", "_token")

    def __init__(self, one: P) -> None:
        self._patience = one

    def __enter__(self) -> P:
        self._token = _patience.set(self._patience)
        return self._patience

    def __exit__(self, *_: object) -> None:
        _patience.reset(self._token)


def patience(availability: Availability) -> AbstractContextManager[Patience]:
    """Serve a request with a patience of its own."""
    return _Serving(Patience(availability))


def unhurried() -> AbstractContextManager[None]:
    """Do work of several requests, or none, in a task that a request has started."""
    return _Serving(None)


class Wait:
    """An asynchronous context in which the current request, if there is one, awaits the database."""

    def __init__(self) -> None:
        self._patience = _patience.get()

    async def __aenter__(self) -> Self:
        if self._patience is not None:
            self._limit = asyncio.timeout(None)
            await self._limit.__aenter__()
            self._watch = _Watch(self._patience, self._refuse, lambda: False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._patience is None:
            return
        self._watch.stop()
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise DatabaseAwayError(_SILENT) from None

    def _refuse(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())


class _Watch:
    """The timer of one wait."""

    def __init__(self, patience: Patience, refuse: Callable[[], None], failing: Callable[[], bool]) -> None:
        self._patience = patience
        self._refuse = refuse
        self._failing = failing
        self._timer = asyncio.get_running_loop().call_at(patience.begin(), self._look)

    def attach(self, future: "asyncio.Future[Any]") -> None:
        """Stop when a future is done."""
        future.add_done_callback(lambda _: self.stop())

    def stop(self) -> None:
        """Report the end of the wait."""
        self._timer.cancel()
        self._patience.end()

    def _look(self) -> None:
        if self._failing() or self._patience.silent():
            self._refuse()
        else:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
