"""Name resolution for sandboxes: lookups on the host, and the addresses that represent names inside.

A sandbox never sees a real address. The response to a query is an address of 198.18.0.0/15 that
represents the name in that sandbox for as long as it lives. A connection to it therefore identifies the
name; the name is looked up on the host, each address is checked, and the connection goes to one that
was allowed. A name server that answers differently the second time (DNS rebinding) gains nothing,
because no connection is made to an address that was not checked.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from typing import Final

from runwright.core.addresses import Address, parse_address

Resolve = Callable[[str], Awaitable[list[str]]]
"""Returns the addresses of a name as text; OSError where it has none (socket.gaierror) or the query fails."""

CACHE_SECONDS: Final = 30.0
LOOKUP_SECONDS: Final = 10.0
_FIRST_ADDRESS: Final = int(IPv4Address("198.18.0.1"))
_MAX_CACHED: Final = 4096
_MAX_NAMES: Final = 16_384
_NO_ADDRESS: Final = (socket.EAI_NONAME, socket.EAI_NODATA)


class NoSuchNameError(Exception):
    """The DNS has no address for the name."""


class Bindings:
    """The names that the addresses of one sandbox represent. An address is never given to another name."""

    def __init__(self) -> None:
        self._addresses: dict[str, IPv4Address] = {}
        self._names: dict[IPv4Address, str] = {}

    def bind(self, name: str) -> IPv4Address | None:
        """Return the address that represents a name; None where the sandbox has used up its addresses."""
        address = self._addresses.get(name)
        if address is None and len(self._names) < _MAX_NAMES:
            address = self._addresses[name] = IPv4Address(_FIRST_ADDRESS + len(self._names))
            self._names[address] = name
        return address

    def name_of(self, address: Address) -> str | None:
        """Return the name that an address represents."""
        return self._names.get(address) if isinstance(address, IPv4Address) else None


class Lookups:
    """Looks names up, one lookup per name at a time, and caches the results for a short time."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._in_flight: dict[str, asyncio.Task[list[Address]]] = {}
        self._cache: OrderedDict[str, tuple[float, list[Address]]] = OrderedDict()

    async def addresses(self, name: str, slots: asyncio.Semaphore) -> list[Address]:
        """Return the addresses of a name.

        A lookup holds one of the slots until it has ended, even when its caller gives up: so a sandbox
        whose names resolve slowly cannot use more of the resolver than its share. NoSuchNameError where
        the name has no address; OSError (TimeoutError) where the lookup fails.
        """
        now = asyncio.get_running_loop().time()
        cached = self._cache.get(name)
        if cached is not None and now < cached[0]:
            if not cached[1]:
                raise NoSuchNameError(name)
            return cached[1]
        async with asyncio.timeout(LOOKUP_SECONDS):
            if name not in self._in_flight:
                await slots.acquire()
                if name in self._in_flight:
                    slots.release()
                else:
                    self._begin(name, slots)
            return await asyncio.shield(self._in_flight[name])

    def close(self) -> None:
        """Cancel the lookups in flight."""
        for task in list(self._in_flight.values()):
            task.cancel()

    def _begin(self, name: str, slots: asyncio.Semaphore) -> None:
        task = self._in_flight[name] = asyncio.create_task(self._look_up(name))

        def ended(done: asyncio.Task[list[Address]]) -> None:
            self._in_flight.pop(name, None)
            slots.release()
            if not done.cancelled():
                done.exception()  # raised in the callers that still wait; without any it does not matter

        task.add_done_callback(ended)

    async def _look_up(self, name: str) -> list[Address]:
        try:
            texts = await self._resolve(name)
        except socket.gaierror as error:
            if error.errno not in _NO_ADDRESS:
                raise
            texts = []
        found = [address for text in texts if (address := parse_address(text)) is not None]
        self._cache[name] = (asyncio.get_running_loop().time() + CACHE_SECONDS, found)
        self._cache.move_to_end(name)
        while len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        if not found:
            raise NoSuchNameError(name)
        return found
