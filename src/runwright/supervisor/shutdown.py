"""The signals that stop or reload a server, and the limit of a stop."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Final, TypeVar

LAST_RESORT_SECONDS: Final = 15.0
"""Added to `drain_seconds`: by then a stop has ended, or something hangs that should not."""

RELOAD: Final = signal.SIGHUP

T = TypeVar("T")


class Shutdown:
    """Receives SIGTERM and SIGINT: the first requests a drain, the second ends it immediately."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.forced = asyncio.Event()

    def watch(self) -> None:
        """Handle SIGTERM and SIGINT from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def on_reload(self, call: Callable[[], None]) -> None:
        """Call a function on every SIGHUP from now on."""
        asyncio.get_running_loop().add_signal_handler(RELOAD, call)

    async def unless_requested(self, startup: Coroutine[None, None, T]) -> T | None:
        """Return the result of the startup, or None where it was cancelled because a stop was requested."""
        starting = asyncio.create_task(startup, name="startup")
        requested = asyncio.create_task(self.requested.wait())
        await asyncio.wait({starting, requested}, return_when=asyncio.FIRST_COMPLETED)
        requested.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        return None if starting.cancelled() else starting.result()

    async def forced_within(self, seconds: float) -> None:
        """Return after this time, or at the second signal."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.forced.wait(), seconds)

    def _on_signal(self) -> None:
        (self.forced if self.requested.is_set() else self.requested).set()


@contextlib.contextmanager
def exit_at_the_latest(seconds: float) -> Iterator[None]:
    """End the process with status 1 if the block takes longer, whatever it waits for."""
    timer = threading.Timer(seconds, _exit)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _exit() -> None:
    sys.stderr.write("runwright: the stop did not end in time; what is left is given up\n")
    sys.stderr.flush()
    os._exit(1)
