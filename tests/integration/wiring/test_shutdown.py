"""Stops end, whatever hangs."""

import asyncio
import subprocess
import sys

import pytest

from runwright.supervisor.shutdown import Shutdown

HANGS = """
import threading
from runwright.supervisor.shutdown import exit_at_the_latest

with exit_at_the_latest(0.2):
    threading.Event().wait(60)
"""


async def test_a_stop_that_is_requested_during_the_startup_ends_it() -> None:
    shutdown = Shutdown()
    cleaned = asyncio.Event()

    async def start() -> str:
        shutdown.requested.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        return "started"

    assert await shutdown.unless_requested(start()) is None
    assert cleaned.is_set()


async def test_a_startup_returns_its_result() -> None:
    async def start() -> str:
        return "started"

    assert await Shutdown().unless_requested(start()) == "started"


async def test_a_startup_that_fails_raises() -> None:
    async def start() -> str:
        raise OSError("the port is taken")

    with pytest.raises(OSError, match="taken"):
        await Shutdown().unless_requested(start())


def test_a_stop_that_hangs_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], check=False, capture_output=True, timeout=50)
    assert done.returncode == 1
    assert b"did not end in time" in done.stderr
