"""The protocol between sandbox and executor: forging, flooding, stealing, breaking."""

import array
import os
import socket
import struct

from escape_kit import Bait, StoppedError, attempt, each, find_mark

HEADER = struct.Struct("<BBHIQ")
READY, BEGAN, LOG, RESULT, ERROR = 16, 17, 18, 20, 21


def _sockets() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            continue
    return found


def _everywhere(data: bytes, times: int = 1) -> str:
    """Send the same to every socket there is, then wait to be judged."""
    sent = 0
    for fd in _sockets():
        for _ in range(times):
            try:
                os.write(fd, data)
                sent += 1
            except OSError:
                break
    if not sent:
        raise StoppedError("there is no socket to write to")
    return f"wrote {sent} messages"


@attempt(check="forgery", ends=("handler_error",))
def forged_result(bait: Bait) -> str:
    """Send a result in the name of another tenant's job that runs."""
    return _everywhere(HEADER.pack(RESULT, 0, 0, 8, bait["token"]) + b'"forged"')


@attempt(check="forgery", ends=("handler_error",))
def forged_failure(bait: Bait) -> str:
    """Send a failure in the name of another tenant's job that runs."""
    said = b'{"code":"handler_error","message":"forged"}'
    return _everywhere(HEADER.pack(ERROR, 0, 0, len(said), bait["token"]) + said)


@attempt(check="forgery", ends=("handler_error",))
def forged_log_line(bait: Bait) -> str:
    """Write into the log of another tenant's job that runs."""
    return _everywhere(HEADER.pack(LOG, 0, 0, 6, bait["token"]) + b"forged")


@attempt(check="forgery", ends=("handler_error",))
def forged_begin(bait: Bait) -> str:
    """Say that another tenant's job has begun here."""
    return _everywhere(HEADER.pack(BEGAN, 0, 0, 0, bait["token"]))


@attempt(check="executor", ends=("handler_error",))
def lying_lengths(_bait: Bait) -> str:
    """Send frames that claim to be 4 GiB long, or end in the middle of their header."""
    return _everywhere(HEADER.pack(RESULT, 0, 0, 0xFFFFFFFF, 1)) + _everywhere(b"\x14\x00\x00")


@attempt(check="executor", ends=("handler_error",))
def garbage(_bait: Bait) -> str:
    """Send messages as large as the kernel takes, full of noise."""
    return _everywhere(os.urandom(160 * 1024), times=4)


@attempt(check="executor", ends=("handler_error",), seconds=10)
def flood_of_frames(bait: Bait) -> str:
    """Send small frames without end."""
    return _everywhere(HEADER.pack(LOG, 0, 0, 1, bait["own_token"]) + b"x", times=200_000)


@attempt(check="forgery")
def frames_on_stdout(bait: Bait) -> str:
    """Write a result of another tenant's job to stdout and stderr."""
    data = HEADER.pack(RESULT, 0, 0, 8, bait["token"]) + b'"forged"'
    os.write(1, data + b"\n")
    os.write(2, data + b"\n")
    return "wrote it"


@attempt(check="executor", ends=("handler_error",))
def hanging_up(_bait: Bait) -> str:
    """Close the connection to the executor for both."""
    for fd in _sockets():
        with socket.socket(fileno=os.dup(fd)) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    return "hung up"


@attempt(check="descriptors", ends=("handler_error",))
def passing_descriptors(bait: Bait) -> str:
    """Fill the executor's table of open files with descriptors passed over the socket."""
    null = os.open("/dev/null", os.O_RDONLY)
    rights = array.array("i", [null] * 250)
    sent = 0
    frame = HEADER.pack(LOG, 0, 0, 1, bait["own_token"]) + b"x"
    for fd in _sockets():
        with socket.socket(fileno=os.dup(fd)) as sock:
            for _ in range(8):
                try:
                    sock.sendmsg(
                        [frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_DONTWAIT
                    )
                    sent += 250
                except OSError:
                    break
    os.close(null)
    if not sent:
        raise StoppedError("there is no socket to pass them over")
    return f"passed {sent} descriptors"


@attempt(neighbour=True)
def messages_of_others(_bait: Bait) -> str:
    """Read from every socket what is meant for another tenant's job."""

    def read(fd: int) -> str:
        with socket.socket(fileno=os.dup(fd)) as sock:
            return find_mark(sock.recv(1 << 17, socket.MSG_DONTWAIT), f"socket {fd}")

    return each(_sockets(), read)
