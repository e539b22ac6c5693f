"""When notifications are merged: one that comes alone is sent at once, many within a window are one."""

import asyncio
from collections.abc import Callable

import pytest

from runwright.db.announcer import MANY_PER_SECOND, WINDOW_SECONDS, Announcer

LEAST, MOST = WINDOW_SECONDS


class Windows:
    """An announcer, what it sends, and its windows, which end when the test says so."""

    def __init__(self, later: Callable[[float, Callable[[], None]], asyncio.TimerHandle]) -> None:
        self.sent = 0
        self.lengths: list[float] = []
        self._later = later
        self._end: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.announcer = Announcer(self._send)

    def _send(self) -> None:
        self.sent += 1

    def open(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Open a window, in place of the loop's `call_later`."""
        self.lengths.append(seconds)
        self._end = call
        self._timer = self._later(3600, call)
        return self._timer

    def end(self) -> None:
        """End the window that is open."""
        assert self._end is not None
        assert self._timer is not None
        end, self._end = self._end, None
        if not self._timer.cancelled():
            self._timer.cancel()
            end()

    def announce(self, times: int = 1) -> None:
        """Announce some times within the window."""
        for _ in range(times):
            self.announcer.announce()


@pytest.fixture
async def windows(monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Windows in place of the loop's timers."""
    loop = asyncio.get_running_loop()
    windows = Windows(loop.call_later)
    monkeypatch.setattr(loop, "call_later", windows.open)
    return windows


async def test_one_that_comes_alone_is_sent_at_once(windows: Windows) -> None:
    for nth in range(1, 10):
        windows.announce()
        assert windows.sent == nth
        windows.end()
    assert set(windows.lengths) == {LEAST}


async def test_what_follows_within_a_window_is_one_more_at_its_end(windows: Windows) -> None:
    windows.announce(3)
    assert windows.sent == 1
    windows.end()
    assert windows.sent == 2
    windows.end()
    assert windows.sent == 2


async def test_windows_grow_while_many_come_and_shrink_again(windows: Windows) -> None:
    windows.announce()
    for _ in range(8):
        windows.announce(int(MANY_PER_SECOND * MOST) + 1)
        windows.end()
    assert windows.lengths == sorted(windows.lengths)
    assert windows.lengths[-1] == MOST
    for _ in range(8):
        windows.announce()
        windows.end()
    assert windows.lengths[-1] == LEAST


async def test_a_few_senders_that_wait_for_each_other_do_not_keep_a_window_long(windows: Windows) -> None:
    windows.announce()
    windows.announce(int(MANY_PER_SECOND * MOST) + 1)
    windows.end()
    assert windows.lengths[-1] > LEAST
    for _ in range(3):
        windows.announce(2)
        windows.end()
    assert windows.lengths[-1] == LEAST


async def test_nothing_is_sent_after_a_stop(windows: Windows) -> None:
    windows.announce(2)
    windows.announcer.stop()
    windows.announcer.stop()
    windows.end()
    assert windows.sent == 1
