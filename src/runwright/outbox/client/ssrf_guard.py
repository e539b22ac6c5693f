"""Resolves a host name to addresses that may be connected to.

A name is resolved once per connection, and each of its addresses is checked: one that is not allowed
refuses the whole name, because a name with public and private addresses is an attack or a mistake. The
client then connects to a checked address, never to the name, so that a second resolution cannot lead to
another address (DNS rebinding).

A name server that does not respond delays only the names that it serves (dns/host_resolver.py).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from runwright.core.addresses import Address, plain
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrl

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
"""Returns the addresses of a name; OSError where it has none."""

_MOST_ADDRESSES: Final = 16


class RefusedError(Exception):
    """The policy forbids the destination; the message is the reason."""


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
