"""Distinguish this product's own outgoing connections from those of users of the same machine.

A server in development trusts callers on its machine. Webhooks, callbacks and code of tenants also arrive
from there if a tenant names the server's own address. Every connection that is made for a tenant
therefore starts from a source that no ordinary program gets: to an IPv4 loopback address from
`OWN_ADDRESS`, to the IPv6 one from a port of `OWN_PORTS`. That holds in all processes of the product on
one machine, and nothing that is sent can change it. What it does not show is a request that another
program forwards; those are recognized by their headers.
"""

import contextlib
import errno
import random
import socket
from ipaddress import IPv4Address
from typing import Final

from runwright.core.addresses import Address, plain

OWN_ADDRESS: Final = IPv4Address("127.82.87.1")
OWN_PORTS: Final = range(21_000, 25_000)
"""Below the ports that Linux chooses for programs that do not choose one (32,768 and above)."""
OUTGOING_AGENT: Final = "Runwright-Webhooks/1"
"""The `User-Agent` of all that the outbox sends; tenants cannot replace it."""
_TRIES: Final = 64


def open_outgoing_socket(destination: Address) -> socket.socket:
    """Return a socket for a connection to an address; one to this machine can be recognized there.

    Non-blocking; OSError where no source is free.
    """
    family = socket.AF_INET6 if destination.version == 6 else socket.AF_INET  # noqa: PLR2004
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        _bind_own_source(sock, destination)
    except OSError:
        sock.close()
        raise
    return sock


def is_own_source(address: Address, port: int) -> bool:
    """Return whether a connection from this source was made for a tenant."""
    address = plain(address)
    return address == OWN_ADDRESS or (address.version == 6 and port in OWN_PORTS)  # noqa: PLR2004


def _bind_own_source(sock: socket.socket, destination: Address) -> None:
    inner = plain(destination)
    # The unspecified addresses lead to this machine, too.
    if not (inner.is_loopback or inner.is_unspecified):
        return
    if destination.version == 4:  # noqa: PLR2004
        sock.bind((str(OWN_ADDRESS), 0))
        return
    if isinstance(inner, IPv4Address):
        sock.bind((f"::ffff:{OWN_ADDRESS}", 0))
        return
    for port in random.sample(OWN_PORTS, _TRIES):
        with contextlib.suppress(OSError):
            sock.bind(("::1", port))
            return
    raise OSError(errno.EADDRNOTAVAIL, "no source port is free")
