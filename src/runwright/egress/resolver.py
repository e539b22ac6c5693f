"""Names on the host's side: looked up, judged, and given addresses of their own inside a sandbox.

A sandbox never hears a real address. The answer to a question is an address of 198.18.0.0/15 that
stands for the name, in that sandbox only, for as long as it lives. A connection to it therefore says
which name was meant; the name is looked up on our side, each address is judged, and the connection
goes to one that passed. A name server that answers something else the second time (rebinding) gains
nothing, because an address that was not judged is never connected to.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from typing import Final

from runwright.core.addresses import Address, parse_address

Resolve = Callable[[str], Awaitable[list[str]]]
"""Returns the addresses of a name as text; OSError where there are none (socket.gaierror) or none now."""

KEPT_SECONDS: Final = 30.0
LOOKUP_SECONDS: Final = 10.0
_FIRST: Final = int(IPv4Address("198.18.0.1"))
_KEPT_LOOKUPS: Final = 4096
_NAMES: Final = 16_384
_NOT_THERE: Final = (socket.EAI_NONAME, socket.EAI_NODATA)


class NoSuchNameError(Exception):
    """The DNS knows no address of the name."""


class Bindings:
    """Which name each address of one sandbox stands for. None is ever given to another name."""

    def __init__(self) -> None:
        self._addresses: dict[str, IPv4Address] = {}
        self._names: dict[IPv4Address, str] = {}

    def bind(self, name: str) -> IPv4Address | None:
        """Return the address that stands for a name; None where the sandbox has used up its share."""
        address = self._addresses.get(name)
        if address is None and len(self._names) < _NAMES:
            address = self._addresses[name] = IPv4Address(_FIRST + len(self._names))
            self._names[address] = name
        return address

    def name_of(self, address: Address) -> str | None:
        """Return the name that an address stands for."""
        return self._names.get(address) if isinstance(address, IPv4Address) else None


class Lookups:
    """Looks names up, each once at a time, and remembers the answers for a moment."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._under_way: dict[str, asyncio.Task[list[Address]]] = {}
        self._kept: OrderedDict[str, tuple[float, list[Address]]] = OrderedDict()

    async def addresses(self, name: str, slots: asyncio.Semaphore) -> list[Address]:
        """Return the addresses of a name.

        A look-up takes one of the slots until it has ended, however long the one who asked waits: so a
        sandbox whose names are answered slowly cannot hold more of the resolver than its share.
        NoSuchNameError where it has none; OSError (TimeoutError) where that cannot be found out now.
        """
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(name)
        if kept is not None and now < kept[0]:
            if not kept[1]:
                raise NoSuchNameError(name)
            return kept[1]
        async with asyncio.timeout(LOOKUP_SECONDS):
            if name not in self._under_way:
                await slots.acquire()
                if name in self._under_way:
                    slots.release()
                else:
                    self._begin(name, slots)
            return await asyncio.shield(self._under_way[name])

    def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._under_way.values()):
            task.cancel()

    def _begin(self, name: str, slots: asyncio.Semaphore) -> None:
        task = self._under_way[name] = asyncio.create_task(self._look_up(name))

        def ended(done: asyncio.Task[list[Address]]) -> None:
            self._under_way.pop(name, None)
            slots.release()
            if not done.cancelled():
                done.exception()  # whoever still waits gets it; if nobody does, it is nobody's business

        task.add_done_callback(ended)

    async def _look_up(self, name: str) -> list[Address]:
        try:
            texts = await self._resolve(name)
        except socket.gaierror as error:
            if error.errno not in _NOT_THERE:
                raise
            texts = []
        found = [address for text in texts if (address := parse_address(text)) is not None]
        self._kept[name] = (asyncio.get_running_loop().time() + KEPT_SECONDS, found)
        self._kept.move_to_end(name)
        while len(self._kept) > _KEPT_LOOKUPS:
            self._kept.popitem(last=False)
        if not found:
            raise NoSuchNameError(name)
        return found
