"""What the embedded server's starts do in threads, where their caller leaves."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from runwright.db.embedded import server


async def test_a_failure_after_its_caller_has_left_is_not_reported() -> None:
    """Ctrl-C while a database is made prints no traceback of the program that makes it."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def fail() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)
        raise OSError("initdb was interrupted")

    waiting = asyncio.create_task(server._run_in_thread(fail))  # noqa: SLF001  a start is too long a way to it
    await begun.wait()
    waiting.cancel()
    loop.call_later(0.01, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    await asyncio.sleep(0)
    assert reported == []
