"""Turns that are spaced out in time."""

import asyncio
import time

import pytest

from runwright.loops.in_flight_limiter import LATE_FACTOR, Spacer

SECONDS = 0.01


@pytest.mark.parametrize("busy", [0.0, 0.02])
async def test_a_turn_is_followed_by_a_pause_that_is_longer_where_it_came_late(busy: float) -> None:
    loop = asyncio.get_running_loop()
    spacer = Spacer(SECONDS)
    await spacer.turn()
    second = asyncio.create_task(spacer.turn())
    await asyncio.sleep(0)
    began = loop.time()
    time.sleep(busy)  # noqa: ASYNC251  what holds the loop
    await second
    assert loop.time() + SECONDS >= began + busy
    third = asyncio.create_task(spacer.turn())
    await third
    least = SECONDS + LATE_FACTOR * max(0.0, busy - SECONDS)
    assert loop.time() >= began + least


async def test_turns_come_in_the_order_of_the_calls_and_one_that_is_cancelled_holds_up_nobody() -> None:
    spacer = Spacer(0.001)
    order: list[int] = []

    async def take(number: int) -> None:
        await spacer.turn()
        order.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 3, 4]
