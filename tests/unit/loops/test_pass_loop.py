"""Loops make passes, survive errors, and stop."""

import asyncio

from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.events.server import LoopPassFailed
from tests.telemetry import RecordedTelemetry


async def test_a_hint_cuts_the_pause_short() -> None:
    async def make_pass() -> float:
        return 3600.0

    loop = PassLoop("test", make_pass, emit=RecordedTelemetry())
    loop.start()
    await loop.reached(1)
    loop.wake()
    await asyncio.wait_for(loop.reached(2), 60)
    await loop.stop()


async def test_a_hint_during_a_pass_is_not_lost() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def make_pass() -> float:
        entered.set()
        await go_on.wait()
        return 3600.0

    loop = PassLoop("test", make_pass, emit=RecordedTelemetry())
    loop.start()
    await entered.wait()
    loop.wake()
    go_on.set()
    await asyncio.wait_for(loop.reached(2), 60)
    await loop.stop()


async def test_a_pass_that_raises_is_reported_and_followed_by_another() -> None:
    async def make_pass() -> float:
        raise RuntimeError("once more")

    telemetry = RecordedTelemetry()
    loop = PassLoop("test", make_pass, emit=telemetry, error_pause_seconds=0)
    loop.start()
    await asyncio.wait_for(loop.reached(3), 60)
    await loop.stop()
    assert set(telemetry.kinds()) == {LoopPassFailed}


async def test_a_pass_whose_wait_is_cancelled_under_it_is_followed_by_another() -> None:
    """As when a library cancels what the pass waits for: nobody has asked the loop itself to end."""

    async def make_pass() -> float:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting
        return 3600.0

    telemetry = RecordedTelemetry()
    loop = PassLoop("test", make_pass, emit=telemetry, error_pause_seconds=0)
    loop.start()
    await asyncio.wait_for(loop.reached(3), 60)
    await loop.stop()
    assert set(telemetry.kinds()) == {LoopPassFailed}


async def test_stop_is_safe_unstarted_and_twice() -> None:
    async def make_pass() -> float:
        return 3600.0

    loop = PassLoop("test", make_pass, emit=RecordedTelemetry())
    await loop.stop()
    loop.start()
    await loop.stop()
    await loop.stop()
