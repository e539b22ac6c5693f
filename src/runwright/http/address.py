"""The address that a server listens on, alone or together with other processes of it."""

import asyncio
import errno
import socket
from typing import Final

from runwright.core.errors import RunwrightError

RECEIVE_BYTES: Final = 256 * 1024
"""What the kernel keeps of a connection that is not read; it would let clients send several MiB."""


class AddressError(RunwrightError):
    """The server cannot listen on its address."""

    code = "address"


async def check_address(host: str, port: int, *, setting: str = "port") -> None:
    """Raise AddressError if the server could not listen there now, before anything else is started."""
    listener = await _bound(host, port, shared=False, setting=setting)
    with listener:
        listener.listen(1)


async def listen(host: str, port: int, backlog: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket; where it is `shared`, other processes may listen there too.

    Raises AddressError, which names what to do.
    """
    listener = await _bound(host, port, shared=shared)
    listener.listen(backlog)
    return listener


async def reserve_port(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for processes that listen on it together, and gets no connection."""
    return await _bound(host, port, shared=True)


async def _bound(host: str, port: int, *, shared: bool, setting: str = "port") -> socket.socket:
    try:
        return await _bind(host, port, shared=shared)
    except OSError as error:
        raise AddressError(_explain(error, host, port, setting)) from None


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    choose = f"with --{setting.replace('_', '-')} or RUNWRIGHT_{setting.upper()}"
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Stop the other program, or choose another port {choose}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs privileges that this user does not have. Choose one above 1023 {choose}."
    reason = error.strerror or str(error)
    return f"Cannot listen on {host}, port {port}: {reason}. Choose another with --host or RUNWRIGHT_HOST."


async def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # connections inherit it
        listener.setblocking(False)  # noqa: FBT003  as the socket module has it
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
