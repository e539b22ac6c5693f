"""From a host's name to addresses that may be connected to.

A name is resolved once per connection, and every address that it has is judged: one that is not
public refuses the whole name, for a name with public and private addresses is an attack or a
mistake. The connection is then made to an address that was judged, never to the name, so that a
second look at the DNS cannot lead elsewhere.

The system's resolver blocks a thread. Names have a pool of threads of their own, and callers that
ask for the same name share one, so that a name server that does not answer holds up only those
who need it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

from runwright.core.addresses import Address, plain
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrl

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
"""Returns the addresses of a name; OSError where it has none."""

_THREADS: Final = 64
_MOST_ADDRESSES: Final = 16


class RefusedError(Exception):
    """The policy lets nothing out to there; the message says why."""


class SystemResolver:
    """The host's own resolver."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")
        self._asked: dict[str, asyncio.Future[Sequence[Address]]] = {}

    async def __call__(self, name: str) -> Sequence[Address]:
        asked = self._asked.get(name)
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = asyncio.ensure_future(loop.run_in_executor(self._threads, _look_up, name))
            self._asked[name] = asked
            asked.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(asked)

    def _forget(self, name: str, done: "asyncio.Future[Sequence[Address]]") -> None:
        self._asked.pop(name, None)
        if not done.cancelled():
            done.exception()  # whoever asked may have given up; nobody need hear of it

    def stop(self) -> None:
        """Let go of the threads; one that waits for a name server ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(name: str) -> Sequence[Address]:
    # as bytes, so that no codec has ideas of its own about the name
    found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0])) for entry in found]


async def judged_addresses(target: OutgoingUrl, policy: OutgoingPolicy, resolve: Resolve) -> list[Address]:
    """Return where to connect to, IPv4 first; RefusedError, or OSError where there is no such name."""
    why = policy.refuse_target(target)
    if why is not None:
        raise RefusedError(f"The URL {why}.")
    if target.address is not None:
        return [target.address]
    found = list(dict.fromkeys(plain(one) for one in await resolve(target.host)))[:_MOST_ADDRESSES]
    if not found:
        raise OSError("no address")
    for address in found:
        why = policy.refuse_address(target.host, address, target.port)
        if why is not None:
            raise RefusedError(f"The URL's host has a {why}.")
    return sorted(found, key=lambda one: one.version)
