"""The signals that stop a server."""

import asyncio
import signal
from collections.abc import Callable


class Stop:
    """Counts the signals: the first one asks for a drain, the second one for haste."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()

    def watch(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._hear)

    def on_reload(self, call: Callable[[], None]) -> None:
        """Call at every SIGHUP from now on."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, call)

    def _hear(self) -> None:
        (self.hurry if self.asked.is_set() else self.asked).set()
