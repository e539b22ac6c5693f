"""A host process that attempts try to reach: `canary_process.py SECRET`, with a plan on stdin.

It keeps a secret in its command line, environment, memory and an open file, and sends it to every
client of its sockets. It writes where these are as a line of JSON to stdout, and ends with its stdin.
"""

import ctypes
import json
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

REMOVE_ID, CREATE = 0, 0o1000


def main() -> None:
    """Set everything up, report it, and serve until stdin ends."""
    plan = json.loads(sys.stdin.readline())
    secret = sys.argv[1].encode()
    memory = ctypes.create_string_buffer(secret, 4096)
    with ExitStack() as stack:
        targets: dict[str, Any] = {"pid": os.getpid(), "address": ctypes.addressof(memory)}
        targets["fd"] = os.open(plan["file"], os.O_RDONLY)
        targets |= _share_memory(stack, secret, plan)
        sockets = _listen(plan, targets)
        sys.stdout.write(json.dumps(targets) + "\n")
        sys.stdout.flush()
        _serve(sockets, secret)


def _listen(plan: dict[str, Any], targets: dict[str, Any]) -> list[socket.socket]:
    sockets = [_tcp(socket.AF_INET, "127.0.0.1", 0)]
    targets["port"] = sockets[0].getsockname()[1]
    database = _tcp(socket.AF_INET, "127.0.0.1", 0)
    targets["database_port"] = database.getsockname()[1]
    sockets.append(database)
    targets["port6"] = 0
    with suppress(OSError):
        sockets.append(_tcp(socket.AF_INET6, "::1", 0))
        targets["port6"] = sockets[-1].getsockname()[1]
    targets["addresses"] = []
    for address in plan["addresses"]:
        with suppress(OSError):
            sockets.append(_tcp(socket.AF_INET, address, targets["port"]))
            targets["addresses"].append(address)
    for name in (plan["unix"], "\0" + plan["abstract"]):
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(name)
        sockets[-1].listen()
    os.chmod(plan["unix"], 0o777)  # noqa: PTH101, S103  open to all on purpose
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[-1].bind(("127.0.0.1", 0))
    targets["udp_port"] = sockets[-1].getsockname()[1]
    return sockets


def _tcp(family: int, address: str, port: int) -> socket.socket:
    sock = socket.socket(family)
    sock.bind((address, port))
    sock.listen()
    return sock


def _share_memory(stack: ExitStack, secret: bytes, plan: dict[str, Any]) -> dict[str, Any]:
    """Keep the secret in each kind of memory that other processes can find by name."""
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    segment = library.shmget(plan["shm_key"], 4096, CREATE | 0o666)
    if segment >= 0:
        stack.callback(library.shmctl, segment, REMOVE_ID, None)
        address = ctypes.c_void_p(library.shmat(segment, None, 0))
        ctypes.memmove(address, secret, len(secret))
    path = f"/dev/shm/{plan['shm_name']}"  # noqa: S108  the name is random
    with suppress(OSError), open(path, "wb") as file:  # noqa: PTH123
        stack.callback(os.unlink, path)
        file.write(secret)
    return {"queue_made": _fill_queue(stack, secret, plan["queue"])}


def _fill_queue(stack: ExitStack, secret: bytes, name: str) -> bool:
    library = ctypes.CDLL("librt.so.1", use_errno=True)
    attributes = struct.pack("8q", 0, 8, 128, 0, 0, 0, 0, 0)
    queue = library.mq_open(name.encode(), os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o666, attributes)
    if queue < 0:
        return False
    stack.callback(library.mq_unlink, name.encode())
    while library.mq_send(queue, secret, len(secret), 0) == 0:
        pass  # it is full
    return True


def _serve(sockets: list[socket.socket], secret: bytes) -> None:
    actions: dict[int, Callable[[], None]] = {one.fileno(): _server_of(one, secret) for one in sockets}
    while True:
        ready, _, _ = select.select([0, *actions], [], [])
        if 0 in ready:
            return
        for fd in ready:
            with suppress(OSError):
                actions[fd]()


def _server_of(sock: socket.socket, secret: bytes) -> Callable[[], None]:
    def respond() -> None:
        if sock.type == socket.SOCK_DGRAM:
            sock.sendto(secret, sock.recvfrom(4096)[1])
            return
        connection, _ = sock.accept()
        with connection:
            connection.settimeout(1)
            connection.recv(4096)
            connection.sendall(secret)

    return respond


if __name__ == "__main__":
    main()
