"""Notifications within and between processes that events or due work may be waiting.

They only shorten the wait: the tables are the truth, and every loop also looks from time to time. Within a
process a notification is a call, between processes a NOTIFY, for events at most one per
`MIN_INTERVAL_SECONDS`. While there are no subscriptions, none are sent for events.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

MIN_INTERVAL_SECONDS: Final = 0.05
_EVENTS: Final = "events"
_WORK: Final = "due"
_SUBSCRIBED: Final = "subscribed"


class EventNotifications:
    """The notifications of one process; `origin` marks its own, so that it ignores them when they return."""

    def __init__(self, *, origin: str, send: Callable[[str], None]) -> None:
        self._origin = origin
        self._send = send
        self._on_events: list[Callable[[], None]] = []
        self._on_due: list[Callable[[], None]] = []
        self._on_destinations: list[Callable[[Collection[str]], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.any_subscriptions = True
        """Whether there are subscriptions or streams; assumed until the router has looked."""

    def on_appended(self, call: Callable[[], None]) -> None:
        """Register a call for when events may wait for the router."""
        self._on_events.append(call)

    def on_due(self, call: Callable[[], None]) -> None:
        """Register a call for when work (deliveries, agent calls, runs) became due."""
        self._on_due.append(call)

    def on_destinations(self, call: Callable[[Collection[str]], None]) -> None:
        """Register a call for the destinations of due work, where known; it precedes that of `on_due`."""
        self._on_destinations.append(call)

    def subscribed(self) -> None:
        """Report a new subscription or stream in this process, so that the next event is notified at once."""
        self.any_subscriptions = True
        self._send(f"{self._origin} {_SUBSCRIBED}")

    def appended(self) -> None:
        """Report that events may have been appended in this process."""
        if self.any_subscriptions and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MIN_INTERVAL_SECONDS, self._interval_over)
            self._notify(_EVENTS)

    def due(self, destinations: Collection[str] = ()) -> None:
        """Report that work is due now; `destinations` are those whose first rows it may be."""
        for call in self._on_destinations if destinations else ():
            call(destinations)
        self._notify(_WORK)

    def _interval_over(self) -> None:
        self._timer = None
        for call in self._on_events:
            call()

    def _notify(self, what: str) -> None:
        for call in self._on_events if what == _EVENTS else self._on_due:
            call()
        self._send(f"{self._origin} {what}")

    def receive(self, payload: str) -> None:
        """Handle a notification of another process; an empty one means that some may have been lost."""
        origin, _, what = payload.partition(" ")
        if origin == self._origin:
            return
        if what == _SUBSCRIBED:
            self.any_subscriptions = True
            return
        both = (*self._on_events, *self._on_due)
        for call in both if not what else self._on_events if what == _EVENTS else self._on_due:
            call()

    def stop(self) -> None:
        """Drop a pending notification; the loops look without it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
