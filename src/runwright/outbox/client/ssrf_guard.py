"""Resolves a host name to addresses that may be connected to.

A name is resolved once per connection, and each of its addresses is checked: one that is not allowed
refuses the whole name, because a name with public and private addresses is an attack or a mistake. The
client then connects to a checked address, never to the name, so that a second resolution cannot lead to
another address (DNS rebinding).

The system's resolver blocks a thread. It has a thread pool of its own, and concurrent lookups of a name
share one thread, so that a name server that does not respond delays only the names that it serves.
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
    """The policy forbids the destination; the message is the reason."""


class SystemResolver:
    """The resolver of the operating system."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")
        self._lookups: dict[str, asyncio.Future[Sequence[Address]]] = {}

    async def __call__(self, name: str) -> Sequence[Address]:
        lookup = self._lookups.get(name)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = asyncio.ensure_future(loop.run_in_executor(self._threads, _resolve, name))
            self._lookups[name] = lookup
            lookup.add_done_callback(lambda done: self._forget_lookup(name, done))
        return await asyncio.shield(lookup)

    def _forget_lookup(self, name: str, done: "asyncio.Future[Sequence[Address]]") -> None:
        self._lookups.pop(name, None)
        if not done.cancelled():
            done.exception()  # retrieved, for all callers may have timed out

    def stop(self) -> None:
        """Release the threads; one that waits for a name server ends with its lookup."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _resolve(name: str) -> Sequence[Address]:
    # as bytes, so that no codec changes the name
    found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [ip_address(str(entry[4][0])) for entry in found]


async def allowed_addresses(url: OutgoingUrl, policy: OutgoingPolicy, resolve: Resolve) -> list[Address]:
    """Return the addresses to connect to, IPv4 first; RefusedError, or OSError if the name has none."""
    reason = policy.refuse_target(url)
    if reason is not None:
        raise RefusedError(f"The URL {reason}.")
    if url.address is not None:
        return [url.address]
    found = list(dict.fromkeys(plain(one) for one in await resolve(url.host)))[:_MOST_ADDRESSES]
    if not found:
        raise OSError("no address")
    for address in found:
        reason = policy.refuse_address(url.host, address, url.port)
        if reason is not None:
            raise RefusedError(f"The URL's host has a {reason}.")
    return sorted(found, key=lambda one: one.version)
