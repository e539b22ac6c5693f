"""The protocol between sandbox and executor: forging, flooding, stealing, breaking it."""

import array
import os
import socket
import struct

from escape_kit import StoppedError, Targets, any_of, attempt, find_canary

HEADER = struct.Struct("<BBHIQ")
READY, BEGAN, LOG, RESULT, ERROR = 16, 17, 18, 20, 21
RECORD, PROGRESS, REQUEST = 23, 24, 25


def _sockets() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            continue
    return found


def _send_to_all(data: bytes, times: int = 1) -> str:
    """Send the data to every socket of the process."""
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
def forged_result(targets: Targets) -> str:
    """Send a result for another tenant's running job."""
    return _send_to_all(HEADER.pack(RESULT, 0, 0, 8, targets["token"]) + b'"forged"')


@attempt(check="forgery", ends=("handler_error",))
def forged_failure(targets: Targets) -> str:
    """Send a failure for another tenant's running job."""
    report = b'{"code":"handler_error","message":"forged"}'
    return _send_to_all(HEADER.pack(ERROR, 0, 0, len(report), targets["token"]) + report)


@attempt(check="forgery", ends=("handler_error",))
def forged_log_line(targets: Targets) -> str:
    """Write to the log of another tenant's running job."""
    return _send_to_all(HEADER.pack(LOG, 0, 0, 6, targets["token"]) + b"forged")


@attempt(check="forgery", ends=("handler_error",))
def forged_begin(targets: Targets) -> str:
    """Report that another tenant's job has begun in this sandbox."""
    return _send_to_all(HEADER.pack(BEGAN, 0, 0, 0, targets["token"]))


@attempt(check="forgery", ends=("handler_error",))
def forged_request(targets: Targets) -> str:
    """Write to the state of another tenant's worker, as its running job."""
    call = b'\1\0\0\0{"op":"set","key":"forged","value":"forged"}'
    return _send_to_all(HEADER.pack(REQUEST, 0, 0, len(call), targets["token"]) + call)


@attempt(check="forgery", ends=("handler_error",))
def forged_progress(targets: Targets) -> str:
    """Report progress and a log line with fields for another tenant's running job."""
    progress, record = b'[1,"forged"]', b'["forged",{"forged":1}]'
    sent = _send_to_all(HEADER.pack(PROGRESS, 0, 0, len(progress), targets["token"]) + progress)
    return sent + _send_to_all(HEADER.pack(RECORD, 0, 0, len(record), targets["token"]) + record)


@attempt(check="executor", ends=("handler_error",))
def requests_for_other_tenants(targets: Targets) -> str:
    """Name another tenant in a request, and ask for what no harness asks for."""
    for call in (b'{"op":"get","key":"a","tenant_id":"other"}', b'{"op":"query","key":"select 1"}'):
        payload = b"\1\0\0\0" + call
        _send_to_all(HEADER.pack(REQUEST, 0, 0, len(payload) + 1, targets["own_token"]) + payload)
    return "sent them"


@attempt(check="executor", ends=("handler_error",), seconds=10)
def request_flood(targets: Targets) -> str:
    """Send requests without pause and without reading an answer."""
    call = b'\1\0\0\0{"op":"get","key":"a"}'
    return _send_to_all(HEADER.pack(REQUEST, 0, 0, len(call), targets["own_token"]) + call, times=200_000)


@attempt(check="executor", ends=("handler_error",))
def false_lengths(_targets: Targets) -> str:
    """Send frames that claim to be 4 GiB long, or end in the middle of their header."""
    return _send_to_all(HEADER.pack(RESULT, 0, 0, 0xFFFFFFFF, 1)) + _send_to_all(b"\x14\x00\x00")


@attempt(check="executor", ends=("handler_error",))
def random_messages(_targets: Targets) -> str:
    """Send random data in messages as large as the kernel allows."""
    return _send_to_all(os.urandom(160 * 1024), times=4)


@attempt(check="executor", ends=("handler_error",), seconds=10)
def frame_flood(targets: Targets) -> str:
    """Send small frames without pause."""
    return _send_to_all(HEADER.pack(LOG, 0, 0, 1, targets["own_token"]) + b"x", times=200_000)


@attempt(check="forgery")
def frames_on_stdout(targets: Targets) -> str:
    """Write a result of another tenant's job to stdout and stderr."""
    data = HEADER.pack(RESULT, 0, 0, 8, targets["token"]) + b'"forged"'
    os.write(1, data + b"\n")
    os.write(2, data + b"\n")
    return "wrote it"


@attempt(check="executor", ends=("handler_error",))
def closing_the_socket(_targets: Targets) -> str:
    """Shut down the connection to the executor for both sides."""
    for fd in _sockets():
        with socket.socket(fileno=os.dup(fd)) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    return "shut it down"


@attempt(check="descriptors", ends=("handler_error",))
def passing_descriptors(targets: Targets) -> str:
    """Fill the executor's table of open files with descriptors passed over the socket."""
    null = os.open("/dev/null", os.O_RDONLY)
    rights = array.array("i", [null] * 250)
    sent = 0
    frame = HEADER.pack(LOG, 0, 0, 1, targets["own_token"]) + b"x"
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
        raise StoppedError("there is no socket to send them over")
    return f"passed {sent} descriptors"


@attempt(neighbour=True)
def messages_for_other_jobs(_targets: Targets) -> str:
    """Read messages for another tenant's job from every socket."""

    def read(fd: int) -> str:
        with socket.socket(fileno=os.dup(fd)) as sock:
            return find_canary(sock.recv(1 << 17, socket.MSG_DONTWAIT), f"socket {fd}")

    return any_of(_sockets(), read)
