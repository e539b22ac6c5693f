"""Large bodies are validated beside the event loop, and not made objects of without end."""

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from runwright.core.errors import InvalidError, UnavailableError
from runwright.http.agh.requests import LooseValidator
from runwright.http.ava.jobs.schemas import CREATE_JOB
from runwright.http.ava.workers.schemas import CREATE_WORKER
from runwright.http.large_bodies import AT_ONCE_PER_TENANT, SMALL_BODY_BYTES, LargeBodies
from runwright.http.validation import MOST_CONTAINERS, Validator
from runwright.workers.bundles.tenant_turns import MOST_WAITING

LARGE = bytes(SMALL_BODY_BYTES + 1)
MANY = b"[" + b"[]," * MOST_CONTAINERS + b"0]"


class Free(msgspec.Struct):
    inner: dict[str, dict[str, Any]] = {}


class Typed(msgspec.Struct):
    inner: dict[str, list[int]] = {}
    raw: msgspec.Raw = msgspec.Raw(b"")


async def test_only_a_large_body_leaves_the_event_loops_thread() -> None:
    def thread_of(_: bytes) -> threading.Thread:
        return threading.current_thread()

    bodies = LargeBodies()
    assert await bodies.validate("ten_a", thread_of, LARGE[:-1]) is threading.current_thread()
    assert await bodies.validate("ten_a", thread_of, LARGE) is not threading.current_thread()


async def test_errors_reach_the_caller() -> None:
    def refuse(_: bytes) -> None:
        raise InvalidError({"a": ["Is bad."]})

    with pytest.raises(InvalidError):
        await LargeBodies().validate("ten_a", refuse, LARGE)


async def test_one_tenant_leaves_a_thread_to_the_others() -> None:
    bodies, going, may_end = LargeBodies(), threading.Event(), threading.Event()

    def wait(_: bytes) -> None:
        going.set()
        may_end.wait(30)

    greedy = [asyncio.create_task(bodies.validate("ten_a", wait, LARGE)) for _ in range(5)]
    assert await asyncio.to_thread(going.wait, 30)
    async with asyncio.timeout(60):
        assert await bodies.validate("ten_b", len, LARGE) == len(LARGE)
    may_end.set()
    await asyncio.gather(*greedy)


async def test_a_tenant_has_so_many_large_bodies_in_memory_and_others_have_theirs() -> None:
    bodies = LargeBodies()
    async with AsyncExitStack() as held:
        for _ in range(AT_ONCE_PER_TENANT):
            await held.enter_async_context(bodies.turn("ten_a"))
        waiting = asyncio.create_task(held.enter_async_context(bodies.turn("ten_a")))
        async with asyncio.timeout(60), bodies.turn("ten_b"):
            assert not waiting.done()
        waiting.cancel()
    async with asyncio.timeout(60), bodies.turn("ten_a"):
        pass


async def test_so_many_bodies_of_a_tenant_wait_and_the_next_is_refused_at_once() -> None:
    bodies = LargeBodies()
    async with AsyncExitStack() as held:
        for _ in range(AT_ONCE_PER_TENANT):
            await held.enter_async_context(bodies.turn("ten_a"))
        waiting = [asyncio.create_task(bodies.turn("ten_a").__aenter__()) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            with pytest.raises(UnavailableError):
                await bodies.turn("ten_a").__aenter__()
            async with bodies.turn("ten_b"):
                pass
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        late = asyncio.create_task(held.enter_async_context(bodies.turn("ten_a")))
        await asyncio.sleep(0)
        assert not late.done()
        late.cancel()


@pytest.mark.parametrize(
    ("validator", "body"),
    [
        (Validator(Free), b'{"inner":{"a":%b}}' % MANY),
        (CREATE_WORKER, b'{"name":"w","runtime":"shell","source_code":"x","config":{"A":%b}}' % MANY),
        (LooseValidator(Typed, "test"), b'{"other":%b}' % MANY),
    ],
)
def test_objects_are_made_of_so_many_lists_at_most(validator: Validator[Any], body: bytes) -> None:
    with pytest.raises(InvalidError) as refused:
        validator.from_json(body)
    assert str(MOST_CONTAINERS) in str(refused.value.fields["body"])


def test_brackets_in_text_and_in_what_stays_text_do_not_count() -> None:
    body = b'{"name":"w","runtime":"shell","source_code":"%b"}' % (b"{[" * 2 * MOST_CONTAINERS)
    source = CREATE_WORKER.from_json(body).source_code
    assert source is not None
    assert source.count("[") == 2 * MOST_CONTAINERS
    job = CREATE_JOB.from_json(b'{"worker_id":"wkr_1","input":{"a":%b}}' % MANY)
    assert len(bytes(job.input)) > MOST_CONTAINERS
    assert Validator(Typed).from_json(b'{"raw":%b}' % MANY).raw
