"""Caps on the open connections of the HTTP server, in all and per address.

A new connection above a cap replaces the one that has been idle longest: of the same address, or of any
address. Idle is a connection without a request in progress, so also one that has never sent anything. Where
none is idle, it replaces the one whose request has been in progress longest without a known caller: one that
sends a body to a route without a key, for example. Where every one has a request of a known caller in
progress, the new one is refused with 503. So connections without a key keep no client out, and descriptors
are left for the sandboxes and the database of this process.

An IPv6 host usually has a whole /64 network, which counts as one address.
"""

from collections import Counter
from ipaddress import IPv6Network, ip_address
from typing import Final, Protocol

import msgspec

from runwright.core.addresses import plain

_NETWORK_BITS: Final = 64
_SHARE_OF_FILES: Final = 4
_SHARE_OF_ADDRESS: Final = 2
_MOST_OF_FILES: Final = 2
_BACKLOG_SHARE: Final = 8
_LARGEST_BACKLOG: Final = 2048
_LEAST: Final = 4


class ConnectionCaps(msgspec.Struct, frozen=True):
    """The caps, and how many connections may wait in the kernel."""

    total: int
    per_address: int
    backlog: int


def caps_for(open_files: int, *, total: int = 0, per_address: int = 0) -> ConnectionCaps:
    """Return the caps of a process that may open that many files.

    0 means the default: a quarter of the files, and half of that for one address. No setting takes more
    than half of the files. Waiting connections can be accepted all at once, so they are bounded, too.
    """
    most = max(open_files // _MOST_OF_FILES, _LEAST)
    total = min(total or max(open_files // _SHARE_OF_FILES, _LEAST), most)
    per_address = min(per_address or total // _SHARE_OF_ADDRESS, total)
    return ConnectionCaps(
        total, per_address, min(max(open_files // _BACKLOG_SHARE, _LEAST), _LARGEST_BACKLOG)
    )


class Closable(Protocol):
    """A connection, which can be closed at any time."""

    def close_idle(self) -> None:
        """Close it; no request of a known caller is in progress."""


class _Replaceable:
    """Connections that may be replaced, the longest so first: of all addresses, and of each."""

    def __init__(self) -> None:
        self.all: dict[Closable, None] = {}
        self._of: dict[str, dict[Closable, None]] = {}

    def add(self, connection: Closable, owner: str) -> None:
        self.all[connection] = None
        self._of.setdefault(owner, {})[connection] = None

    def discard(self, connection: Closable, owner: str) -> None:
        self.all.pop(connection, None)
        if (own := self._of.get(owner)) is not None:
            own.pop(connection, None)
            if not own:
                del self._of[owner]

    def oldest(self, owner: str | None) -> Closable | None:
        """Return the first one, of an address or of all."""
        return next(iter(self.all if owner is None else self._of.get(owner, ())), None)


class ConnectionTable:
    """The open connections: which may be replaced, and how many each address has."""

    def __init__(self, caps: ConnectionCaps) -> None:
        self._caps = caps
        self._owners: dict[Closable, str] = {}
        self._counts: Counter[str] = Counter()
        self._idle = _Replaceable()
        self._unknown = _Replaceable()

    def __len__(self) -> int:
        return len(self._owners)

    def add(self, connection: Closable, address: str | None) -> bool:
        """Add a new, idle connection, closing another one if necessary; False where it must be refused."""
        owner = _owner_of(address)
        if self._counts[owner] >= self._caps.per_address and not self._replace(owner):
            return False
        if len(self._owners) >= self._caps.total and not self._replace(None):
            return False
        self._owners[connection] = owner
        self._counts[owner] += 1
        self.set_idle(connection)
        return True

    def set_unknown(self, connection: Closable) -> None:
        """A request is in progress whose caller is not known yet."""
        owner = self._release(connection)
        if owner is not None:
            self._unknown.add(connection, owner)

    def set_busy(self, connection: Closable) -> None:
        """A request of a known caller is in progress: the connection is not closed for another one."""
        self._release(connection)

    def set_idle(self, connection: Closable) -> None:
        """No request is in progress, from now on."""
        owner = self._release(connection)
        if owner is not None:
            self._idle.add(connection, owner)

    def discard(self, connection: Closable) -> None:
        """Remove a connection that was closed; does nothing for one that is not in the table."""
        owner = self._release(connection)
        if owner is not None:
            del self._owners[connection]
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]

    def _release(self, connection: Closable) -> str | None:
        """Keep a connection from being replaced; return its owner, None for one that is not in the table."""
        owner = self._owners.get(connection)
        if owner is not None:
            self._idle.discard(connection, owner)
            self._unknown.discard(connection, owner)
        return owner

    def _replace(self, owner: str | None) -> bool:
        """Close the connection that may be replaced, of an address or of all; False if there is none."""
        oldest = self._idle.oldest(owner) or self._unknown.oldest(owner)
        if oldest is None:
            return False
        self.discard(oldest)
        oldest.close_idle()
        return True


def _owner_of(address: str | None) -> str:
    if address is None:
        return ""
    parsed = plain(ip_address(address.partition("%")[0]))
    if parsed.version == 4:  # noqa: PLR2004
        return str(parsed)
    return str(IPv6Network((int(parsed), _NETWORK_BITS), strict=False))
