"""DSNs with several hosts: one attempt each, and the first connection wins."""

import asyncio
from collections.abc import Coroutine

import pytest

from runwright.db.hosts import connect_to_first, split_hosts

ONE_HOST = [
    "postgresql://user:p%40ss@db.example:5433/runwright?sslmode=require",
    "postgresql:///runwright?host=/run/postgresql&user=runwright",
    "postgresql://[fd00::1]:5432/runwright",
    "postgresql:///runwright",
]


@pytest.mark.parametrize("dsn", ONE_HOST)
def test_a_dsn_with_one_host_is_unchanged(dsn: str) -> None:
    assert split_hosts(dsn) == [dsn]


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        (
            "postgresql://u:p%40ss@a:1,[fd00::1]:2/db?sslmode=require",
            [
                "postgresql://u:p%40ss@a:1/db?target_session_attrs=primary&sslmode=require",
                "postgresql://u:p%40ss@[fd00::1]:2/db?target_session_attrs=primary&sslmode=require",
            ],
        ),
        (
            "postgresql:///db?host=a,b&port=1,2&user=u",
            [
                "postgresql:///db?target_session_attrs=primary&host=a&port=1&user=u",
                "postgresql:///db?target_session_attrs=primary&host=b&port=2&user=u",
            ],
        ),
        (
            "postgresql:///db?host=a,b&port=5",
            [
                "postgresql:///db?target_session_attrs=primary&host=a&port=5",
                "postgresql:///db?target_session_attrs=primary&host=b&port=5",
            ],
        ),
        (
            "postgresql://a,b/db?target_session_attrs=any",
            ["postgresql://a/db?target_session_attrs=any", "postgresql://b/db?target_session_attrs=any"],
        ),
    ],
)
def test_several_hosts_are_one_dsn_each_for_the_primary(dsn: str, expected: list[str]) -> None:
    assert split_hosts(dsn) == expected


def test_ports_that_match_no_hosts_are_left_for_the_driver_to_report() -> None:
    dsn = "postgresql:///db?host=a,b,c&port=1,2"
    assert split_hosts(dsn) == [dsn]


class Connected:
    """A connection."""

    def __init__(self) -> None:
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


async def _hang() -> Connected:
    await asyncio.Event().wait()
    return Connected()


async def test_a_host_that_has_vanished_does_not_delay_the_next_one() -> None:
    made = Connected()

    async def connect() -> Connected:
        return made

    async with asyncio.timeout(60):
        assert await connect_to_first([_hang, connect]) is made


async def test_a_second_connection_that_was_made_too_is_closed() -> None:
    both = asyncio.Event()
    first, second = Connected(), Connected()

    async def wait_for_second() -> Connected:
        await both.wait()
        return first

    async def connect() -> Connected:
        both.set()
        return second

    winner = await connect_to_first([wait_for_second, connect])
    assert not winner.dropped
    assert [one.dropped for one in (first, second) if one is not winner] == [True]


async def test_the_error_of_the_first_host_is_raised_when_none_answers() -> None:
    def refuse(port: int) -> Coroutine[None, None, Connected]:
        async def connect() -> Connected:
            raise ConnectionRefusedError(port)

        return connect()

    with pytest.raises(ConnectionRefusedError, match="1"):
        await connect_to_first([lambda: refuse(1), lambda: refuse(2)])
