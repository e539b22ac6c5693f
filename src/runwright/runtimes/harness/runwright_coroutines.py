"""Runs the coroutines of python handlers: a module of its own, because asyncio takes longest to import."""

import asyncio
import sys
import types
from collections.abc import Awaitable
from typing import Any

EAGER = sys.version_info >= (3, 12)
"""Whether a task can start without a turn of the event loop."""


class CoroutineRunner:
    """An event loop that runs only while a job waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, value: Any) -> Any:
        """Return the result of anything that can be awaited; nothing of it is left running."""
        coroutine = value if type(value) is types.CoroutineType else await_value(value)
        try:
            return self._drive(coroutine)
        finally:
            self._cancel_leftovers()

    def _drive(self, coroutine: Any) -> Any:
        if not EAGER:
            return self._loop.run_until_complete(coroutine)
        asyncio._set_running_loop(self._loop)  # noqa: SLF001  a turn of the loop costs three times as much
        try:
            task = asyncio.Task(coroutine, loop=self._loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
        return task.result() if task.done() else self._loop.run_until_complete(task)

    def _cancel_leftovers(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


async def await_value(value: Awaitable[Any]) -> Any:
    """Return the result of anything that can be awaited."""
    return await value
