"""Looks up the addresses of names as the host is configured to, without a thread for each name.

c-ares reads the hosts file and resolv.conf (servers, search domains, options), follows CNAMEs, and repeats
over TCP what was truncated. A name whose servers are silent costs an entry in a table for some seconds, so
such names, however many, delay no other. Other sources of nsswitch.conf (mDNS, LDAP) are not asked.

The cache of c-ares has no bound but the lifetime of its records, so a channel serves a number of addresses
only, and is then replaced and closed when its last lookup has ended.
"""

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from typing import Final

import aiodns
import pycares

from runwright.core.addresses import Address, parse_address

FIRST_TRY_SECONDS: Final = 0.25
TRIES: Final = 5
"""Each waits for twice as long as the one before it: a name is given up after about eight seconds."""

MOST_ADDRESSES: Final = 64
"""Of one name; further ones are dropped."""

CHANNEL_ADDRESSES: Final = 4096
_NO_ADDRESS: Final = (pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA, pycares.errno.ARES_EBADNAME)


class _Channel:
    """A channel of c-ares, and how much it has answered."""

    def __init__(self, servers: Sequence[str] | None) -> None:
        self._resolver = aiodns.DNSResolver(
            servers, asyncio.get_running_loop(), timeout=FIRST_TRY_SECONDS, tries=TRIES
        )
        self.in_flight = 0
        self.answered = 0

    async def look_up(self, name: str) -> list[Address]:
        try:
            found = await self._resolver.getaddrinfo(name, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            missing = error.args[0] in _NO_ADDRESS
            raise socket.gaierror(socket.EAI_NONAME if missing else socket.EAI_AGAIN, error.args[1]) from None
        finally:
            self.answered += 1
        self.answered += len(found.nodes)
        addresses = (parse_address(node.addr[0].decode()) for node in found.nodes[:MOST_ADDRESSES])
        return list(dict.fromkeys(one for one in addresses if one is not None))

    async def close(self) -> None:
        await self._resolver.close()


class HostResolver:
    """Looks names up; used in one event loop, from the first lookup to `close`."""

    def __init__(self, *, servers: Sequence[str] | None = None) -> None:
        """`servers` (address, or address:port) replace those of the host."""
        self._servers = servers
        self._channel: _Channel | None = None
        self._lookups: dict[str, asyncio.Task[list[Address]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, name: str) -> list[Address]:
        """Return the addresses of a name, those to be tried first in front.

        socket.gaierror where it has none (EAI_NONAME), or where nothing answers for it (EAI_AGAIN). A
        lookup continues when its caller is cancelled; callers of one name share it.
        """
        task = self._lookups.get(name)
        if task is None:
            task = self._lookups[name] = asyncio.get_running_loop().create_task(self._look_up(name))
            task.add_done_callback(partial(self._forget, name))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End all lookups."""
        for task in (*self._lookups.values(), *self._closing):
            task.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _look_up(self, name: str) -> list[Address]:
        channel = self._channel = self._channel or _Channel(self._servers)
        channel.in_flight += 1
        try:
            return await channel.look_up(name)
        finally:
            channel.in_flight -= 1
            self._retire(channel)

    def _retire(self, channel: _Channel) -> None:
        """Replace a channel that has answered enough; close it with its last lookup."""
        if channel.answered < CHANNEL_ADDRESSES:
            return
        if self._channel is channel:
            self._channel = None
        if not channel.in_flight:
            task = asyncio.get_running_loop().create_task(channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _forget(self, name: str, task: asyncio.Task[list[Address]]) -> None:
        self._lookups.pop(name, None)
        if not task.cancelled():
            task.exception()  # retrieved, for all callers may have gone
