"""Names are resolved as the host is configured to, and silent ones delay no other."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runwright.dns import host_resolver
from runwright.dns.host_resolver import HostResolver
from tests.name_server import NameServer, name_server

ZONE = {
    "both.test": ["192.0.2.1", "2001:db8::1"],
    "alias.test": "both.test",
    "four.test": ["192.0.2.4"],
    "many.test": [f"192.0.2.{number}" for number in range(60)],
    "host.inside.test": ["192.0.2.9"],
    "empty.test": [],
}


@asynccontextmanager
async def resolving() -> AsyncIterator[tuple[HostResolver, NameServer]]:
    async with name_server(ZONE) as server:
        resolver = HostResolver(servers=[f"127.0.0.1:{server.port}"])
        try:
            yield resolver, server
        finally:
            await resolver.close()


async def _texts(resolver: HostResolver, name: str) -> list[str]:
    return sorted(map(str, await resolver(name)))


async def test_addresses_of_both_versions_are_found_also_by_an_alias() -> None:
    async with resolving() as (resolver, _):
        assert await _texts(resolver, "both.test") == ["192.0.2.1", "2001:db8::1"]
        assert await _texts(resolver, "alias.test") == ["192.0.2.1", "2001:db8::1"]
        assert await _texts(resolver, "four.test") == ["192.0.2.4"]


async def test_a_long_answer_is_asked_for_over_tcp() -> None:
    async with resolving() as (resolver, server):
        assert len(await _texts(resolver, "many.test")) == 60
        assert server.over_tcp


@pytest.mark.parametrize("name", ["missing.test", "empty.test"])
async def test_a_name_without_an_address_is_told_from_one_that_is_not_answered(name: str) -> None:
    async with resolving() as (resolver, _):
        with pytest.raises(socket.gaierror) as caught:
            await resolver(name)
        assert caught.value.errno == socket.EAI_NONAME


async def test_search_domains_of_the_host_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "inside.test")
    async with resolving() as (resolver, _):
        assert await _texts(resolver, "host") == ["192.0.2.9"]


async def test_names_of_the_hosts_file_are_found_without_a_server() -> None:
    lines = (line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines())
    names = {line[1] for line in lines if len(line) > 1}
    async with resolving() as (resolver, server):
        for name in names:
            known = {str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
            assert known & set(await _texts(resolver, name)), name
        assert server.asked == []


async def test_a_thousand_silent_names_delay_no_other() -> None:
    async with resolving() as (resolver, server):
        silent = [asyncio.create_task(resolver(f"n{number}.silent")) for number in range(1000)]
        await server.until_asked(1000)
        assert await _texts(resolver, "four.test") == ["192.0.2.4"]
        assert not any(task.done() for task in silent)
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)


async def test_a_silent_name_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_resolver, "TRIES", 2)
    async with resolving() as (resolver, server):
        with pytest.raises(socket.gaierror) as caught:
            await resolver("one.silent")
        assert caught.value.errno == socket.EAI_AGAIN
        assert server.asked.count("one.silent") == 4


async def test_callers_of_one_name_share_a_lookup_that_none_of_them_can_end() -> None:
    async with resolving() as (resolver, server):
        first, second = (asyncio.create_task(resolver("four.test")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert [str(one) for one in await second] == ["192.0.2.4"]
        assert server.asked.count("four.test") == 2


async def test_what_is_cached_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel keeps what it has answered; so it is replaced, and the old one is closed."""
    monkeypatch.setattr(host_resolver, "CHANNEL_ADDRESSES", 4)
    async with resolving() as (resolver, server):
        for _ in range(3):
            assert await _texts(resolver, "both.test") == ["192.0.2.1", "2001:db8::1"]
        assert server.asked.count("both.test") == 4
