"""Make a network namespace in which every address is local; also the program that starts in it.

The namespace has nothing but the loopback interface, and a route that makes every IPv4 and IPv6
address local to it. Listeners on all addresses, for the allowed ports, therefore accept every
connection of the sandbox, and the local address of an accepted connection is its destination. Sockets
belong to the namespace they were made in: the process that holds these listeners serves the sandbox
from outside, while no route leads out of the namespace itself.

As a program (`python -I -S -E namespace.py CONTROL PORTS COMMAND...`) it makes the namespace, sends
the listeners over the socket CONTROL, and becomes COMMAND, which keeps the process id. An ordinary
user needs a user namespace for that; COMMAND then has no capabilities in it, and bwrap makes another
user namespace below, so that user code never owns the network namespace.

It imports little, because each import delays the start of a sandbox.
"""

import _socket
import ctypes
import os
import struct
import sys

NEW_USER = 0x10000000
NEW_NET = 0x40000000
DNS_PORT = 53
_LOOPBACK_INDEX = 1
_BACKLOG = 256
_RECEIVE_BYTES, _SEND_BYTES = 16 * 1024, 128 * 1024
_SETTINGS = (
    ("core/somaxconn", b"256"),
    ("ipv4/tcp_rmem", b"4096 16384 262144"),
    ("ipv4/tcp_wmem", b"4096 16384 65536"),
    ("ipv4/tcp_max_syn_backlog", b"256"),
    ("ipv4/tcp_max_tw_buckets", b"2048"),
)
"""Bounds on what connections take of the kernel's memory before it is charged to a sandbox: until a
connection is accepted it is not, and even at its limit a sandbox gets the first of the three sizes."""
_CLOEXEC = _socket.SOCK_CLOEXEC
_IP_PKTINFO, _IPV6_FREEBIND = 8, 78
_ACK, _REQUEST, _CREATE, _REPLACE = 4, 1, 0x400, 0x100
_NEW_LINK, _NEW_ROUTE = 16, 24
_UP = 1
_LOCAL_TABLE, _BOOT, _HOST_SCOPE, _LOCAL = 255, 3, 254, 2
_OUT_INTERFACE = 4
_ERROR = 2


def enter_namespace() -> None:
    """Move this thread into a new network namespace and acquire the right to configure it."""
    if not unshare(NEW_NET):
        return
    uid, gid = os.geteuid(), os.getegid()
    number = unshare(NEW_USER | NEW_NET)
    if number:
        raise OSError(number, f"no network namespace can be made: {os.strerror(number)}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  pathlib is slow to import
            file.write(text)


def unshare(flags: int) -> int:
    """Move this thread into new namespaces; return the error number, 0 on success."""
    library = ctypes.CDLL(None, use_errno=True)
    return 0 if library.unshare(flags) == 0 else ctypes.get_errno()


def open_listeners(ports: list[int]) -> list[_socket.socket]:
    """Configure this thread's namespace; return its sockets: DNS over UDP, DNS over TCP, one per port."""
    _bound_buffers()
    families = _make_every_address_local()
    family = families[-1]
    udp = _bound(family, _socket.SOCK_DGRAM, DNS_PORT)
    udp.setsockopt(_socket.IPPROTO_IP, _IP_PKTINFO, 1)
    if family == _socket.AF_INET6:
        udp.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_RECVPKTINFO, 1)
        udp.setsockopt(_socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)  # respond from the address that was queried
    sockets = [udp]
    for port in (DNS_PORT, *ports):
        listener = _bound(family, _socket.SOCK_STREAM, port)
        # Buffers on our side are not accounted to the sandbox's memory: keep them small.
        # Accepted connections inherit the sizes; on one machine larger ones would not be faster.
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, _RECEIVE_BYTES)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _SEND_BYTES)
        listener.listen(_BACKLOG)
        sockets.append(listener)
    return sockets


def _bound_buffers() -> None:
    for name, value in _SETTINGS:
        try:
            file = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | _CLOEXEC)
        except OSError:  # read-only in some containers: then the other limits must do
            continue
        try:
            os.write(file, value)
        finally:
            os.close(file)


def _bound(family: int, kind: int, port: int) -> _socket.socket:
    sock = _socket.socket(family, kind | _CLOEXEC | _socket.SOCK_NONBLOCK)
    if family == _socket.AF_INET6:
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
    sock.bind(("::" if family == _socket.AF_INET6 else "0.0.0.0", port))  # noqa: S104  the namespace's own
    return sock


def _make_every_address_local() -> list[int]:
    """Bring the loopback interface up and route every address to it; return the families that work."""
    netlink = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _CLOEXEC, 0)
    try:
        _request(netlink, _NEW_LINK, 0, struct.pack("=BxHiII", 0, 0, _LOOPBACK_INDEX, _UP, _UP))
        _add_local_route(netlink, _socket.AF_INET)
        try:
            _add_local_route(netlink, _socket.AF_INET6)
        except OSError:
            return [_socket.AF_INET]
        return [_socket.AF_INET, _socket.AF_INET6]
    finally:
        netlink.close()


def _add_local_route(netlink: _socket.socket, family: int) -> None:
    message = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _LOCAL_TABLE, _BOOT, _HOST_SCOPE, _LOCAL, 0)
    attribute = struct.pack("=HHi", 8, _OUT_INTERFACE, _LOOPBACK_INDEX)
    _request(netlink, _NEW_ROUTE, _CREATE | _REPLACE, message + attribute)


def _request(netlink: _socket.socket, kind: int, flags: int, body: bytes) -> None:
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags | _REQUEST | _ACK, 1, 0) + body)
    answer = netlink.recv(4096)
    _, kind, _, _, _, code = struct.unpack_from("=IHHIIi", answer)
    if kind != _ERROR or code:
        raise OSError(-code, f"the network namespace cannot be configured: {os.strerror(-code)}")


def _run_command(arguments: list[str]) -> None:
    control = _socket.socket(fileno=int(arguments[0]))
    ports = [int(port) for port in arguments[1].split(",") if port]
    enter_namespace()
    listeners = open_listeners(ports)
    numbers = [listener.fileno() for listener in listeners]
    rights = struct.pack(f"={len(numbers)}i", *numbers)
    control.sendmsg([b"n"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    control.close()
    os.execv(arguments[2], arguments[2:])  # noqa: S606  bwrap, by its path


if __name__ == "__main__":
    try:
        _run_command(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        sys.exit(1)
