"""Lookups are shared, cached for a short time, and bounded per sandbox; bindings never change."""

import asyncio
import socket

import pytest

from runwright.core.addresses import parse_address
from runwright.egress import resolver as names
from runwright.egress.resolver import Bindings, Lookups, NoSuchNameError


class Resolver:
    """Answers once `answer` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()
        self.failure: OSError | None = None

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        await self.answer.wait()
        if self.failure is not None:
            raise self.failure
        return ["93.184.216.34", "nonsense", "::ffff:10.0.0.1"]


async def test_a_name_is_looked_up_once_for_all_callers_and_cached() -> None:
    resolver = Resolver()
    lookups, slots = Lookups(resolver), asyncio.Semaphore(1)
    waiting = [asyncio.create_task(lookups.addresses("a", slots)) for _ in range(3)]
    resolver.answer.set()
    found = await asyncio.gather(*waiting)
    assert [[str(address) for address in one] for one in found] == [["93.184.216.34", "10.0.0.1"]] * 3
    assert await lookups.addresses("a", slots) == found[0]
    assert resolver.asked == ["a"]
    assert not slots.locked()


async def test_a_missing_name_is_cached_and_a_failed_lookup_is_not() -> None:
    resolver = Resolver()
    resolver.answer.set()
    lookups, slots = Lookups(resolver), asyncio.Semaphore(1)
    resolver.failure = socket.gaierror(socket.EAI_NONAME, "none")
    for _ in range(2):
        with pytest.raises(NoSuchNameError):
            await lookups.addresses("a", slots)
    resolver.failure = socket.gaierror(socket.EAI_AGAIN, "later")
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await lookups.addresses("b", slots)
    assert resolver.asked == ["a", "b", "b"]
    assert not slots.locked()


async def test_a_slow_lookup_keeps_its_slot_after_its_caller_has_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "LOOKUP_SECONDS", 0.01)
    resolver = Resolver()
    lookups, slots = Lookups(resolver), asyncio.Semaphore(2)
    for name in ("a", "b", "c", "d"):
        with pytest.raises(TimeoutError):
            await lookups.addresses(name, slots)
    assert resolver.asked == ["a", "b"]
    other = asyncio.Semaphore(1)
    with pytest.raises(TimeoutError):
        await lookups.addresses("e", other)
    assert resolver.asked == ["a", "b", "e"]
    resolver.answer.set()
    monkeypatch.setattr(names, "LOOKUP_SECONDS", 30.0)
    assert await lookups.addresses("c", slots)
    lookups.close()


def test_an_address_represents_one_name_for_ever() -> None:
    bindings = Bindings()
    first, second = bindings.bind("a"), bindings.bind("b")
    assert first is not None
    assert first != second
    assert bindings.bind("a") == first
    assert bindings.name_of(first) == "a"
    other = parse_address("10.0.0.1")
    assert other is not None
    assert bindings.name_of(other) is None


def test_the_names_of_a_sandbox_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_MAX_NAMES", 2)
    bindings = Bindings()
    assert [bindings.bind(name) is not None for name in ("a", "b", "c", "a")] == [True, True, False, True]
