"""What the watchdog sees of memory that no process has mapped."""

import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runwright.sandbox.file_locks import has_too_many_locks, locks_by_process
from runwright.sandbox.memory_usage import unnamed_objects

KIB = 1024


@contextmanager
def process_with(take: Callable[[], object]) -> Iterator[int]:
    """A process that has taken what the function returns, and keeps it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        taken = take()
        os.write(writer, b"1" if taken else b"0")
        signal.pause()
        os._exit(0)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"1"
        yield pid
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def fill(sender: socket.socket, size: int) -> None:
    for _ in range(size // KIB):
        sender.sendall(bytes(KIB))


def full_pipe() -> list[int]:
    ends = list(os.pipe())
    os.write(ends[1], bytes(60 * KIB))
    return ends


def full_unix_sockets() -> list[socket.socket]:
    pair = list(socket.socketpair())
    fill(pair[0], 60 * KIB)
    return pair


def full_tcp_connection() -> list[socket.socket]:
    server = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(server.getsockname())
    far, _ = server.accept()
    fill(near, 60 * KIB)
    return [server, near, far]


def full_netlink_socket() -> list[socket.socket]:
    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    for _ in range(100):
        one.send((16).to_bytes(4, "little") + b"\xff\x0f\x05\x00" + bytes(8))
    return [one]


@pytest.mark.parametrize(
    ("take", "least"),
    [
        (full_pipe, 60 * KIB),
        (full_unix_sockets, 60 * KIB),
        (full_tcp_connection, 60 * KIB),
        (full_netlink_socket, 20 * KIB),
    ],
)
def test_what_a_process_holds_in_pipes_and_sockets_is_counted(take: Callable[[], object], least: int) -> None:
    with process_with(lambda: True) as empty, process_with(take) as full:
        usual, found = sum(unnamed_objects([empty]).values()), sum(unnamed_objects([full]).values())
    assert least <= found - usual < 1024 * KIB


def test_a_socket_that_two_processes_have_is_counted_once() -> None:
    pair = full_unix_sockets()
    try:
        with process_with(lambda: pair) as first, process_with(lambda: pair) as second:
            once = sum(unnamed_objects([first]).values())
            assert sum(unnamed_objects([first, second]).values()) < once + 60 * KIB
    finally:
        for one in pair:
            one.close()


def test_the_locks_of_a_process_are_counted(tmp_path: Path) -> None:
    def lock() -> list[int]:
        file = os.open(tmp_path / "locked", os.O_CREAT | os.O_RDWR)
        for offset in range(20_000, 0, -2):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        return [file]

    with process_with(lock) as holder:
        # The kernel hands the table out in pieces: what others lock meanwhile shifts some rows.
        assert 9_900 < locks_by_process(5000)[holder] < 10_100
        assert has_too_many_locks([holder])
        assert not has_too_many_locks([os.getpid()])
        assert not locks_by_process(10**9)
    assert locks_by_process()[holder] == 0
