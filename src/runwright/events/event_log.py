"""Reading a tenant's event log: lists, newest first, and single events.

A page looks at a bounded number of events, however few of them fit its filter: it may have fewer rows than
were asked for, or none, and still be followed by another one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.errors import NotFoundError
from runwright.core.ids import EventId, number_of
from runwright.db.pool import Database
from runwright.events.event_filter import EventSelection
from runwright.events.feed_store import LoggedEvent, fetch_event, scan_events

SCANNED: Final = 20_000
"""How many events one page looks at."""

LATE: Final = timedelta(hours=1)
"""By how much the order of positions may differ from the order of times."""


class EventListing(msgspec.Struct, frozen=True):
    """A page of events; the next one begins before the position `next_before`, None if this is the last."""

    rows: Sequence[LoggedEvent]
    next_before: int | None


class EventReader:
    """The logs of all tenants."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(
        self, tenant_id: str, which: EventSelection, *, before: int | None, limit: int
    ) -> EventListing:
        """Return up to `limit` events, the newest first, with positions below `before`."""
        scan = await scan_events(
            self._db,
            tenant_id=tenant_id,
            which=which,
            before=before,
            scanned=SCANNED,
            limit=limit + 1,
        )
        rows = scan.events[:limit]
        if len(scan.events) > limit:
            return EventListing(rows, rows[-1].event.position)
        over = scan.oldest_at is not None and _is_over(scan.oldest_at, which.created_after)
        return EventListing(rows, None if scan.count < SCANNED or over else scan.oldest)

    async def get(self, tenant_id: str, event_id: EventId) -> LoggedEvent:
        """Return one event with all of its data."""
        found = await fetch_event(self._db, tenant_id=tenant_id, position=number_of(event_id))
        if found is None or found.event.id != event_id:
            raise NotFoundError(f"There is no event {event_id}.")
        return found


def _is_over(oldest_at: datetime, created_after: datetime | None) -> bool:
    """Return whether no event before this one can be new enough."""
    return created_after is not None and oldest_at < created_after - LATE
