"""Says that events may wait for the router: a hint, for the tables are the truth.

Within a process it is a call, between processes a NOTIFY, at most one per `HINT_SECONDS`. While
nobody subscribes to anything, nothing is said at all; `somebody` is told by whoever looks.
"""

import asyncio
from collections.abc import Callable
from typing import Final

HINT_SECONDS: Final = 0.05


class EventNotifications:
    """The switchboard of one process; `origin` marks its own hints so that it ignores their echo."""

    def __init__(self, *, origin: str, send: Callable[[str], None]) -> None:
        self._origin = origin
        self._send = send
        self._heard: list[Callable[[], None]] = []
        self._due: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.somebody = True
        """Whether anybody subscribes; until somebody has looked, it is taken to be so."""

    def on_appended(self, call: Callable[[], None]) -> None:
        """Call when events may wait for the router."""
        self._heard.append(call)

    def on_due(self, call: Callable[[], None]) -> None:
        """Call when deliveries were made due."""
        self._due.append(call)

    def subscribed(self) -> None:
        """Say that somebody subscribed here, so that what is appended from now on is said at once."""
        self.somebody = True

    def appended(self) -> None:
        """Say that events may have been appended here."""
        if self.somebody and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HINT_SECONDS, self._rest)
            self._tell("events")

    def due(self) -> None:
        """Say that deliveries are due now."""
        self._tell("due")

    def _rest(self) -> None:
        self._timer = None
        for call in self._heard:
            call()

    def _tell(self, what: str) -> None:
        for call in self._heard if what == "events" else self._due:
            call()
        self._send(f"{self._origin} {what}")

    def receive(self, payload: str) -> None:
        """Take a hint that another process sent; an empty one says that some may have been missed."""
        origin, _, what = payload.partition(" ")
        if origin == self._origin:
            return
        for call in (
            (*self._heard, *self._due) if not what else self._heard if what == "events" else self._due
        ):
            call()

    def stop(self) -> None:
        """Drop the pending hint; those who need it look by themselves."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
