"""How long a request waits for a database that does not answer, whatever it calls on its way.

Each wait of a request has limits of its own (a connection, a statement, a batch, a lookup that is shared),
and one after the other they add up. So the HTTP edge gives every request a `Patience`; whatever it awaits of
the database is refused when `PATIENCE_SECONDS` are over since its first wait, if the database is silent
then: no statement and no ping of this process had an answer for `SILENT_SECONDS`. A database that answers may
take as long as the statement's own class allows.

Between two waits that are further apart than `PATIENCE_SECONDS` (an upload, a stream) the patience is
renewed. Without a Patience, in loops, nothing here applies; nor does that of a request that is over to what
it has left behind: tasks, timers and readers have the context in which they were made.
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
        self.over = False
        """Whether its request has been served."""

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


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


def current() -> Patience | None:
    """Return the patience of the request that is being served; None elsewhere."""
    one = _patience.get()
    return None if one is None or one.over else one


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
        if self._patience is not None:
            self._patience.over = True


def patience(availability: Availability) -> AbstractContextManager[Patience]:
    """Serve a request with a patience of its own."""
    return _Serving(Patience(availability))


def unhurried() -> AbstractContextManager[None]:
    """Do work of several requests, or none, in a task that a request has started."""
    return _Serving(None)


class Wait:
    """An asynchronous context in which the current request, if there is one, awaits the database."""

    def __init__(self) -> None:
        self._patience = current()

    async def __aenter__(self) -> Self:
        if self._patience is not None:
            self._limit = asyncio.timeout(None)
            await self._limit.__aenter__()
            self._watch = _Watch(self._patience, self._refuse)
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
        del self._watch  # it refers to this wait, and circles stay until a collection of garbage
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise DatabaseAwayError(_SILENT) from None

    def _refuse(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())


class FutureWatch:
    """Refuses futures of requests whose patience is over, while the database is silent or `failing`.

    One timer looks over all of them, as a timer for each would cost a submit more than the encoding of its
    row. So one that is done is known to be so up to `LOOK_SECONDS` later, and is refused as much later.
    """

    def __init__(self, failing: Callable[[], bool]) -> None:
        self._failing = failing
        self._watched: list[tuple[Patience, float, asyncio.Future[Any]]] = []
        self._looking = False

    def add(self, patience: Patience, future: "asyncio.Future[Any]") -> None:
        """Watch a future until it is done."""
        self._watched.append((patience, patience.begin(), future))
        if not self._looking:
            self._look_later()

    def _look_later(self) -> None:
        self._looking = True
        asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        watched, self._watched = self._watched, []
        for patience, ends_at, future in watched:
            if future.done():
                patience.end()
            elif now >= ends_at and (self._failing() or patience.silent()):
                patience.end()
                future.set_exception(DatabaseAwayError(_SILENT))
            else:
                self._watched.append((patience, ends_at, future))
        self._looking = False
        if self._watched:
            self._look_later()


class _Watch:
    """The timer of one wait."""

    def __init__(self, patience: Patience, refuse: Callable[[], None]) -> None:
        self._patience = patience
        self._refuse = refuse
        self._timer = asyncio.get_running_loop().call_at(patience.begin(), self._look)

    def stop(self) -> None:
        """Report the end of the wait."""
        self._timer.cancel()
        self._patience.end()

    def _look(self) -> None:
        if self._patience.silent():
            self._refuse()
        else:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
