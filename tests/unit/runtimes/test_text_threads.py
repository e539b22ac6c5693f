"""Work on texts is done in order, in turns of the tenants, and not in the event loop."""

import asyncio
import threading
from functools import partial

from runwright.runtimes.pool.text_threads import TextThreads
from runwright.secrets.escape_decoding import Rest

SMALL, LARGE = 10, 10_000


def name_of_thread(_: Rest) -> str:
    return threading.current_thread().name


def return_name(name: str, _: Rest) -> str:
    return name


async def test_small_texts_are_handled_at_once_up_to_a_bound_in_each_turn() -> None:
    threads = TextThreads()
    results: list[str] = []
    for _ in range(100):
        threads.queue("ten_a").add(1000, name_of_thread, results.append, otherwise="")
    assert 1 <= len(results) < 10
    await threads.drain()
    assert len(results) == 100
    assert len({name for name in results if name.startswith("runwright-texts")}) == 1
    results.clear()
    threads.queue("ten_a").add(1000, name_of_thread, results.append, otherwise="")
    assert results == ["MainThread"]
    threads.close()


async def test_what_one_job_writes_stays_in_order_and_the_loop_is_free_meanwhile() -> None:
    threads = TextThreads()
    queue = threads.queue("ten_a")
    may_go_on = threading.Event()
    results: list[int] = []

    def wait(number: int, _: Rest) -> int:
        assert may_go_on.wait(30)
        return number

    for number, size in enumerate([LARGE, SMALL, LARGE * 100, SMALL]):
        queue.add(size, partial(wait, number), results.append, otherwise=-1)
    await asyncio.sleep(0)
    assert results == []
    may_go_on.set()  # by the loop, which therefore is not held up
    await threads.drain()
    assert results == [0, 1, 2, 3]
    threads.close()


async def test_a_text_that_cannot_be_handled_is_not_shown() -> None:
    threads = TextThreads()
    results: list[str] = []

    def fail(_: Rest) -> str:
        raise RuntimeError

    queue = threads.queue("ten_a")
    queue.add(SMALL, fail, results.append, otherwise="***")
    queue.add(LARGE, fail, results.append, otherwise="***")
    await threads.drain()
    assert results == ["***", "***"]
    threads.close()


async def test_tenants_take_turns() -> None:
    threads = TextThreads()
    order: list[str] = []
    begin = threading.Event()

    def wait(_: Rest) -> str:
        assert begin.wait(30)
        return "first"

    threads.queue("ten_a").add(LARGE, wait, order.append, otherwise="")
    for name in ("a", "a", "a", "b"):
        queue = threads.queue(f"ten_{name}")
        queue.add(LARGE, partial(return_name, name), order.append, otherwise="")
    begin.set()
    await threads.drain()
    assert order[0] == "first"
    assert order.index("b") <= 2
    threads.close()
