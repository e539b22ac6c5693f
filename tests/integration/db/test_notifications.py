"""Hints between processes: they arrive, they come back, and they are never relied on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runwright.db.notifications import PAYLOAD_LIMIT_BYTES, Listener
from runwright.db.pool import Pool


class Inbox:
    """Collects payloads and lets a test wait for one."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, payload: str) -> None:
        self.heard.put_nowait(payload)

    async def next(self) -> str:
        return await asyncio.wait_for(self.heard.get(), 60)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def listener(database_url: str, inbox: Inbox) -> AsyncIterator[Listener]:
    listener = Listener(database_url, {"jobs": inbox})
    await listener.start()
    assert await inbox.next() == ""
    yield listener
    await listener.stop()


async def test_an_announcement_is_heard_by_every_listener(
    database_url: str, listener: Listener, inbox: Inbox
) -> None:
    other = Inbox()
    second = Listener(database_url, {"jobs": other})
    await second.start()
    assert await other.next() == ""
    listener.notify("jobs", "ten_1")
    assert [await inbox.next(), await other.next()] == ["ten_1", "ten_1"]
    await second.stop()


async def test_equal_announcements_made_together_are_sent_once(listener: Listener, inbox: Inbox) -> None:
    for payload in ("a", "a", "a"):
        listener.notify("jobs", payload)
    assert await inbox.next() == "a"
    listener.notify("jobs", "end")
    assert await inbox.next() == "end"


async def test_a_lost_connection_comes_back_with_one_hint(
    database: Pool, listener: Listener, inbox: Inbox
) -> None:
    """What was announced meanwhile is lost, so the listener is told once to look."""
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'runwright-listen'"
        " AND datname = current_database()"
    )
    assert await inbox.next() == ""
    listener.notify("jobs", "again")
    assert await inbox.next() == "again"


async def test_a_payload_over_the_limit_is_refused_at_once(listener: Listener) -> None:
    with pytest.raises(ValueError, match=str(PAYLOAD_LIMIT_BYTES)):
        listener.notify("jobs", "x" * (PAYLOAD_LIMIT_BYTES + 1))


async def test_stopping_is_safe_unstarted_and_twice(database_url: str) -> None:
    listener = Listener(database_url, {})
    await listener.stop()
    await listener.start()
    await listener.stop()
    await listener.stop()
