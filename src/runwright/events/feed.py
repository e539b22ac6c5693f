"""The event feed: events as they happen, for the streams of this process.

One reader serves all streams, however many there are: it reads what is new for all of their tenants with
one statement, when it is notified and once a second, and hands the same objects to every stream. While a
tenant has streams, and for a while after, all of its events are kept (event_watches).

States of a stream: joining -> live -> ended. A stream joins in the first pass after the watch of its tenant
was committed: from then on it gets everything. One that resumes reads what it has missed from the log, at
its own pace, and then what came meanwhile; where the log has gaps since its position, or too much has
happened, it gets a `Gone` and continues from now.

Order: events come as they are committed, which may differ from the order of their positions. None is left
out; after a resumption some may come again.

Failures: without the database nothing comes, and the streams stay open. A transaction that stays open while
`MOST_BEHIND` positions are taken may be missed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Final

from runwright.core.turns import Turns, in_turns
from runwright.db.pool import Database
from runwright.events.feed_store import (
    LoggedEvent,
    fetch_positions,
    fetch_snapshot,
    fetch_unseen,
    keeps_events_from,
    renew_watches,
)
from runwright.events.feed_stream import EndReason, FeedEvent, FeedPart, FeedStream, Gone, JobHint
from runwright.events.log_position import MOST_ABOVE, LogHorizon, LogPosition
from runwright.events.notifications import EventNotifications

MOST_MISSED: Final = 10_000
"""A stream that has missed more events is not resumed."""

MOST_BEHIND: Final = 20_000
BATCH: Final = 1_000
MISSED_BATCH: Final = 50
"""Events that one stream catches up with at once: each stream has its own, with up to 16 KiB of data each."""

ROUNDS: Final = 5
LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 60.0
RENEW_SECONDS: Final = 30.0
REST_SECONDS: Final = 0.05
REST_PER_STREAM_SECONDS: Final = 0.001
"""The pause after a pass, by the number of streams that it woke."""

_OFFERED_AT_ONCE: Final = 100

HINT_SECONDS: Final = 0.25
MOST_HINTS: Final = 500
"""The hints at jobs of a tenant, at new log lines and at progress, that are given together."""


class _Channel:
    """The streams of a tenant, and which events above the settled part of the log were read for it."""

    def __init__(self) -> None:
        self.streams: list[FeedStream] = []
        self.seen: dict[int, None] = {}
        self.epoch = 0
        self.live = False
        self.hints: dict[tuple[type, str], JobHint] = {}
        self.handed_out: LogPosition | None = None
        """The position of streams that have got everything that was handed out to all of them."""

    def position(self, settled: int) -> LogPosition:
        newest = tuple(islice(reversed(self.seen), MOST_ABOVE))
        return LogPosition(self.epoch, settled, tuple(one for one in newest[::-1] if one > settled))

    async def offer(self, parts: Sequence[FeedPart], turns: Turns) -> int:
        """Give parts to the streams that have joined; return how many these are."""
        joined = [stream for stream in self.streams if stream.joined.is_set()]
        for stream in joined:
            for start in range(0, len(parts), _OFFERED_AT_ONCE):
                stream.offer(parts[start : start + _OFFERED_AT_ONCE])
                await turns.between()
        return len(joined)

    def offer_now(self, parts: Sequence[FeedPart]) -> None:
        """Give a few parts to the streams that have joined."""
        for stream in self.streams:
            if stream.joined.is_set():
                stream.offer(parts)

    def forget(self, settled: int) -> None:
        self.seen = {position: None for position in self.seen if position > settled}


class EventFeed:
    """The feed of a process. Its loop calls `make_pass`; `wake` asks for the next call."""

    def __init__(
        self,
        db: Database,
        *,
        notifications: EventNotifications,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._notifications = notifications
        self._monotonic = monotonic
        self._channels: dict[str, _Channel] = {}
        self._horizon: LogHorizon | None = None
        self._renew_at = 0.0
        self._rest_until = 0.0
        self._hint_timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.wake: Callable[[], None] = lambda: None

    @property
    def watched(self) -> Collection[str]:
        """The tenants that have streams here."""
        return self._channels.keys()

    @contextlib.contextmanager
    def streaming(self, tenant_id: str, stream: FeedStream) -> Iterator[None]:
        """Feed a stream in the block; `joined` is set once it gets everything that happens."""
        channel = self._channels.setdefault(tenant_id, _Channel())
        channel.streams.append(stream)
        if self._ended:
            stream.end(EndReason.STOPPING)
        self.wake()
        try:
            yield
        finally:
            channel.streams.remove(stream)
            if not channel.streams and self._channels.get(tenant_id) is channel:
                del self._channels[tenant_id]

    async def missed(
        self, tenant_id: str, stream: FeedStream, since: LogPosition
    ) -> AsyncIterator[Sequence[FeedPart]]:
        """Yield what a stream that has joined has missed since a position; a `Gone` if that is not known."""
        start = stream.start
        if start is None:
            return
        reader = _MissedEvents(since, start)
        known = since.epoch == start.epoch and await keeps_events_from(self._db, since.settled)
        while known:
            events = await fetch_unseen(
                self._db, tenant_ids=[tenant_id], after=reader.after, seen=since.above, limit=MISSED_BATCH
            )
            if len(reader.positions) + len(events) > MOST_MISSED:
                break
            parts = await in_turns(events, reader.take)
            yield [part for part in parts if stream.selects(part)]
            if len(events) < MISSED_BATCH:
                stream.leave_out(reader.positions)
                return
        yield [Gone(start)]

    def position(self, tenant_id: str) -> LogPosition | None:
        """Return the position of a stream of the tenant that has got all that it was given."""
        channel = self._channels.get(tenant_id)
        return channel.handed_out if channel is not None and channel.live else None

    def hint(self, tenant_id: str, hint: JobHint) -> None:
        """Give the streams of a tenant, soon, a hint at a job; the last one of a kind and job counts."""
        channel = self._channels.get(tenant_id)
        if channel is None or len(channel.hints) >= MOST_HINTS:
            return
        channel.hints[type(hint), hint.subject_id] = hint
        if self._hint_timer is None:
            loop = asyncio.get_running_loop()
            self._hint_timer = loop.call_later(HINT_SECONDS, self._send_hints)

    def end(self) -> None:
        """End all streams, because the server stops."""
        self._ended = True
        if self._hint_timer is not None:
            self._hint_timer.cancel()
        for channel in self._channels.values():
            for stream in channel.streams:
                stream.end(EndReason.STOPPING)

    async def make_pass(self) -> float:
        """Read what is new and give it to the streams; return the pause before the next pass."""
        if not self._channels:
            self._horizon = None
            return IDLE_SECONDS
        await asyncio.sleep(max(self._rest_until - self._monotonic(), 0))
        channels = dict(self._channels)
        joining = [
            (channel, stream)
            for channel in channels.values()
            for stream in channel.streams
            if not stream.joined.is_set()
        ]
        await self._renew(channels)
        if await self._read(channels):
            return 0.0
        for channel, stream in joining:
            channel.live = True
            stream.join(channel.position(self._settled))
        return LOOK_SECONDS

    @property
    def _settled(self) -> int:
        return 0 if self._horizon is None else self._horizon.settled

    async def _renew(self, channels: Mapping[str, _Channel]) -> None:
        """Renew the watches of the tenants when it is time, and where a tenant is new."""
        now = self._monotonic()
        new = not all(channel.epoch for channel in channels.values())
        if not new and now < self._renew_at:
            return
        self._renew_at = now + RENEW_SECONDS
        epochs = await renew_watches(self._db, channels.keys())
        if new:
            self._notifications.subscribed()
        for tenant_id, channel in channels.items():
            changed = channel.epoch not in {0, epochs[tenant_id]}
            channel.epoch = epochs[tenant_id]
            if changed:
                channel.handed_out = None
                channel.offer_now([Gone(channel.position(self._settled))])

    async def _read(self, channels: Mapping[str, _Channel]) -> bool:
        """Read and hand out what is new; return whether there is more."""
        now, horizon = self._monotonic(), self._horizon
        number = horizon is not None and horizon.needs_number(now)
        snapshot = await fetch_snapshot(self._db, number=number)
        if horizon is None:
            horizon = self._horizon = LogHorizon(max(snapshot.last - MOST_BEHIND, 0))
        await self._pass_over(channels, horizon.settled)
        for _ in range(ROUNDS):
            events = await fetch_unseen(
                self._db,
                tenant_ids=channels.keys(),
                after=horizon.settled,
                seen=[position for channel in channels.values() for position in channel.seen],
                limit=BATCH,
            )
            await self._hand_out(channels, events)
            if len(events) < BATCH:
                horizon.observe(snapshot, now)
                horizon.settled = max(horizon.settled, snapshot.last - MOST_BEHIND)
                for channel in channels.values():
                    channel.forget(horizon.settled)
                    channel.handed_out = channel.position(horizon.settled)
                return False
        return True

    async def _pass_over(self, channels: Mapping[str, _Channel], settled: int) -> None:
        """Take as seen what is there, up to `MOST_BEHIND` events, for tenants whose streams are all new."""
        new = {tenant_id: channel for tenant_id, channel in channels.items() if not channel.live}
        if not new:
            return
        found = await fetch_positions(self._db, tenant_ids=new.keys(), after=settled)
        for tenant_id, positions in found.items():
            new[tenant_id].seen.update(dict.fromkeys(positions))

    async def _hand_out(self, channels: Mapping[str, _Channel], events: Sequence[LoggedEvent]) -> None:
        woken, turns = 0, Turns()
        by_tenant = sorted(events, key=_tenant_of)
        for tenant_id, group in groupby(by_tenant, _tenant_of):
            channel = channels[tenant_id]
            parts: list[FeedPart] = []
            for logged in group:
                await turns.between()
                channel.seen[logged.event.position] = None
                parts.append(FeedEvent(logged, channel.position(self._settled)))
            if channel.live:
                woken += await channel.offer(parts, turns)
        self._rest_until = self._monotonic() + REST_SECONDS + woken * REST_PER_STREAM_SECONDS

    def _send_hints(self) -> None:
        self._hint_timer = None
        for channel in self._channels.values():
            hints, channel.hints = list(channel.hints.values()), {}
            if hints:
                channel.offer_now(hints)


class _MissedEvents:
    """Counts the events that a stream catches up with, and gives them positions."""

    def __init__(self, since: LogPosition, start: LogPosition) -> None:
        self._start = start
        self._above = [position for position in since.above if position > start.settled]
        self.after = since.settled
        self.positions: list[int] = []

    def take(self, logged: LoggedEvent) -> FeedEvent:
        return FeedEvent(logged, self._position_after(logged.event.position))

    def _position_after(self, position: int) -> LogPosition:
        self.positions.append(position)
        self.after = position
        if position <= self._start.settled:
            return LogPosition(self._start.epoch, position)
        self._above.append(position)
        return LogPosition(self._start.epoch, self._start.settled, tuple(self._above[-MOST_ABOVE:]))


def _tenant_of(logged: LoggedEvent) -> str:
    return logged.event.tenant_id
