"""The event feed of the role `api`, and the watch over the credentials of what stays open."""

from contextlib import AsyncExitStack
from typing import Final

from runwright.db.connection import READ
from runwright.db.pool import Database
from runwright.events.feed import EventFeed
from runwright.loops.pass_loop import PassLoop
from runwright.tenants.credential_watch import CredentialWatch
from runwright.tenants.status_cache import TenantStatusCache
from runwright.wiring.resources import Resources, open_database_pool

FEED_CONNECTIONS: Final = 2


async def open_feed(res: Resources, stack: AsyncExitStack) -> EventFeed:
    db = await open_database_pool(res, READ, FEED_CONNECTIONS, stack, by_index=True, lazy=True)
    feed = EventFeed(db, notifications=res.event_notifications)
    hints = res.job_notifications.job_hints

    async def make_pass() -> float:
        hints.watch(feed.watched)
        return await feed.make_pass()

    loop = PassLoop("event feed", make_pass, emit=res.emit)
    feed.wake = loop.wake
    res.event_notifications.on_appended(loop.wake)
    hints.on_hint(feed.hint)
    stack.push_async_callback(loop.stop)
    stack.callback(feed.end)
    loop.start()
    return feed


def open_credential_watch(
    res: Resources, db: Database, tenant_status: TenantStatusCache, stack: AsyncExitStack
) -> CredentialWatch:
    watch = CredentialWatch(db, tenant_status, clock=res.clock)
    loop = PassLoop("credential watch", watch.check, emit=res.emit)
    watch.wake = loop.wake
    stack.push_async_callback(loop.stop)
    loop.start()
    return watch
