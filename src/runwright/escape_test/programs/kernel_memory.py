"""Kernel memory: keeping far more than a worker's memory in the buffers of the kernel."""

import contextlib
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Iterator

from escape_kit import StoppedError, Targets, attempt, hold, set_limit

MIB = 1 << 20
WANTED = 128 * MIB
CHUNK = bytes(64 * 1024)
CONNECTIONS = 400
SET_PIPE_SIZE = 1031
SO_MEMINFO = 55
UNKNOWN_REQUEST = struct.pack("=IHHII", 16, 0xFFF, 5, 1, 0)


@contextlib.contextmanager
def _kept() -> Iterator[list[socket.socket]]:
    """Yield a list whose sockets are closed afterwards."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    set_limit(resource.RLIMIT_NOFILE, hard, hard)
    sockets: list[socket.socket] = []
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _fill(sender: socket.socket) -> int:
    """Send until nothing more fits; return the number of bytes."""
    sender.settimeout(0)
    sent = 0
    try:
        while sent < WANTED:
            sent += sender.send(CHUNK)
    except OSError:  # full, or without memory
        return sent
    return sent


def _received_bytes(receiver: socket.socket) -> int:
    """Return the memory of what a socket has received."""
    number: int = struct.unpack_from("I", receiver.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[0]
    return number


def _host_tcp_bytes() -> int:
    """Return the memory of all TCP sockets of the host: that of unaccepted ones is shown nowhere else."""
    with open("/proc/net/sockstat") as file:
        words = next(line for line in file if line.startswith("TCP:")).split()
    return int(words[words.index("mem") + 1]) * resource.getpagesize()


def _report(targets: Targets, held: int, what: str) -> str:
    if held < WANTED:
        raise StoppedError(f"{what} held {held / MIB:.0f} MiB")
    hold(targets)
    return f"{what} held {held // MIB} MiB with 64 allowed"


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_tcp_connections(targets: Targets) -> str:
    """Keep 128 MiB in 400 TCP connections to itself with 64 MiB allowed."""
    held = 0
    with _kept() as sockets, socket.create_server(("127.0.0.1", 0)) as server:
        while len(sockets) < 2 * CONNECTIONS and held < WANTED:
            sockets.append(socket.create_connection(server.getsockname()))
            sockets.append(server.accept()[0])
            held += _fill(sockets[-1]) + _fill(sockets[-2])
        return _report(targets, held, f"{len(sockets) // 2} connections")


@attempt(memory_mb=64, ends=("out_of_memory", "handler_error"))
def memory_of_unaccepted_connections(targets: Targets) -> str:
    """Keep 128 MiB in 8,000 TCP connections that are closed before anybody accepts them."""
    held = made = 0
    before = _host_tcp_bytes()
    with _kept() as servers:
        while made < 8000 and held < WANTED:
            if made % 200 == 0:
                servers.append(socket.create_server(("127.0.0.1", 0), backlog=200))
            with socket.create_connection(servers[-1].getsockname(), 1) as sender:
                _fill(sender)
            made += 1
            held = _host_tcp_bytes() - before
        return _report(targets, held, f"{made} connections")


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_datagrams(targets: Targets) -> str:
    """Keep 128 MiB in UDP sockets with 64 MiB allowed."""
    held = 0
    with _kept() as sockets, socket.socket(type=socket.SOCK_DGRAM) as sender:
        while len(sockets) < 900 and held < WANTED:
            receiver = socket.socket(type=socket.SOCK_DGRAM)
            sockets.append(receiver)
            receiver.bind(("127.0.0.1", 0))
            for _ in range(30):
                sender.sendto(CHUNK[:8000], receiver.getsockname())
            held += _received_bytes(receiver)
        return _report(targets, held, f"{len(sockets)} sockets")


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_unix_sockets(targets: Targets) -> str:
    """Keep 128 MiB in Unix sockets with 64 MiB allowed."""
    held = 0
    with _kept() as sockets:
        while len(sockets) < 1800 and held < WANTED:
            sockets.extend(socket.socketpair())
            held += _fill(sockets[-1]) + _fill(sockets[-2])
        return _report(targets, held, f"{len(sockets) // 2} pairs of sockets")


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_pipes(targets: Targets) -> str:
    """Keep 128 MiB in pipes with 64 MiB allowed."""
    held = 0
    ends: list[int] = []
    try:
        while len(ends) < 900 and held < WANTED:
            ends += os.pipe()
            with contextlib.suppress(OSError):
                fcntl.fcntl(ends[-1], SET_PIPE_SIZE, MIB)
            os.set_blocking(ends[-1], False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    held += os.write(ends[-1], CHUNK)
        return _report(targets, held, f"{len(ends) // 2} pipes")
    finally:
        for end in ends:
            os.close(end)


@attempt(memory_mb=64, ends=("out_of_memory",))
def memory_of_netlink_answers(targets: Targets) -> str:
    """Keep 128 MiB of answers in netlink sockets with 64 MiB allowed."""
    held = 0
    with _kept() as sockets:
        while len(sockets) < 900 and held < WANTED:
            one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            sockets.append(one)
            for _ in range(400):
                one.send(UNKNOWN_REQUEST)
            held += _received_bytes(one)
        return _report(targets, held, f"{len(sockets)} sockets")


@attempt(memory_mb=64, ends=("out_of_memory", "handler_error"))
def memory_of_file_locks(targets: Targets) -> str:
    """Hold 400,000 record locks, 75 MiB of the kernel's memory, with 64 MiB allowed."""
    held = 0
    path = f"{targets['disks'][0]}/locked"
    files = [os.open(f"{path}-{number}", os.O_CREAT | os.O_RDWR) for number in range(800)]
    try:
        for file in files:
            for offset in range(1000, 0, -2):  # the kernel finds the place of the lowest at once
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            held += 500
        hold(targets)
        return f"held {held} locks"
    finally:
        for number, file in enumerate(files):
            os.close(file)
            os.unlink(f"{path}-{number}")
