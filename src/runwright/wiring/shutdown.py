"""The signals that stop or reload a server."""

import asyncio
import signal
from collections.abc import Callable


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
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, call)

    def _on_signal(self) -> None:
        (self.forced if self.requested.is_set() else self.requested).set()
