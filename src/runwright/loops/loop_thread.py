"""An event loop in a thread of its own, for work that must continue while the main event loop is busy."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeVar

T = TypeVar("T")

_START_SECONDS: Final = 30.0
_NICENESS: Final = -5
"""Of the thread, where this process may raise its priority: it sleeps, and is on time when it wakes up."""


class LoopThread:
    """A thread with an event loop; coroutines are run in it from the loop that started it, and back."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread from a running event loop, its home; does nothing where it runs."""
        if self._thread is not None:
            return
        self._home = asyncio.get_running_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=self._name, daemon=True)
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            raise TimeoutError(f"the thread {self._name} did not start")

    async def stop(self) -> None:
        """Cancel what runs in the thread, and end it. Safe unstarted, and twice."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(thread.join)

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` in the thread and return its result; called in the home loop."""
        return await asyncio.wrap_future(_submit(work, self._loop))

    async def run_at_home(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` in the home loop and return its result; called in the thread."""
        return await asyncio.wrap_future(_submit(work, self._home))

    def call_at_home(self, function: Callable[[], None]) -> None:
        """Call a function in the home loop, when that has time for it; called in the thread."""
        if self._home is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._home.call_soon_threadsafe(function)

    def _run(self, ready: threading.Event) -> None:
        with contextlib.suppress(OSError):  # without the capability it has the priority of the process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(ready.set)
            self._loop.run_forever()


def _submit(work: Callable[[], Awaitable[T]], loop: asyncio.AbstractEventLoop | None) -> Future[T]:
    async def run() -> T:
        return await work()

    if loop is None:
        raise RuntimeError("the event loop does not run")
    coroutine = run()
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:  # it has ended
        coroutine.close()
        raise
