"""The sandbox's side of the protocol, shared by the harnesses written in Python.

The numbers are those of `runtimes/protocol.py`; a test compares them. Limits are applied here so that
honest code is cheap to serve; the executor enforces them again.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
import sys
import termios
import threading
import time
from importlib.machinery import ModuleSpec, SourceFileLoader

from runwright_text import encode_text

TYPE_CHECKING = False  # importing typing takes as long as half of the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, TypeVar

    W = TypeVar("W", bound="Wire")

HEADER = struct.Struct("<BBHIQ")
LENGTHS = struct.Struct("<II")
LOAD, RUN, PART, ANSWER = 1, 2, 3, 4
READY, BEGAN, LOG, DROPPED, RESULT, ERROR, COMPILED = 16, 17, 18, 19, 20, 21, 22
RECORD, PROGRESS, REQUEST, TEXT = 23, 24, 25, 26
RAW_PENDING, WORN = 1, 2
INFO, WARN, ERR, DEBUG = 0, 1, 2, 3
CHUNK_BYTES = 60 * 1024
MESSAGE_BYTES = 128 * 1024
OUTPUT_BYTES = 1024 * 1024
LINE_CHARS = 16 * 1024
LOG_LINES = 10_000
LOG_BYTES = 4 * 1024 * 1024
MESSAGE_CHARS = 4096
STACK_CHARS = 32 * 1024
TEXT_BURST = 200
TEXT_PER_SECOND = 50
LOST = 70
"""Exit status of a harness that lost its connection to the executor."""

_pending_bytes = array.array("i", [0])


class JobFailedError(Exception):
    """The end of a job that has no result."""

    def __init__(self, code: str, message: str, stack: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stack = stack

    def payload(self) -> bytes:
        """Return the payload of the ERROR frame."""
        fields = {"code": self.code, "message": self.message[:MESSAGE_CHARS]}
        stack = whole_lines_of(self.stack or "", STACK_CHARS)
        if stack:
            fields["stack"] = stack
        return encode_text(json.dumps(fields, ensure_ascii=False))


def whole_lines_of(text: str, limit: int) -> str:
    """Return the end of a text, without the line that would lose its beginning.

    The executor masks secrets, and cannot recognise one by its end.
    """
    return text if len(text) <= limit else text[-limit - 1 :].partition("\n")[2]


class Wire:
    """The socket: whole messages out and in, large content in parts."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._parts: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Send one message; exit if the executor is gone."""
        try:
            self.socket.send(data)
        except OSError:
            os._exit(LOST)

    def end(
        self, prefix: bytes, kind: int, flags: int, micros: int, payload: bytes, assignment_id: int
    ) -> bytes:
        """Send all of a RESULT or ERROR but its last message, and return that one."""
        while len(payload) > CHUNK_BYTES:
            self.send(prefix + HEADER.pack(PART, 0, 0, CHUNK_BYTES, assignment_id) + payload[:CHUNK_BYTES])
            prefix, payload = b"", payload[CHUNK_BYTES:]
        return prefix + HEADER.pack(kind, flags, min(micros, 65535), len(payload), assignment_id) + payload

    def receive(self, flags: int) -> bytes:
        """Return the next message."""
        return self.socket.recv(MESSAGE_BYTES, flags)

    def next(self, *, wait: bool) -> tuple[int, int, bytes] | None:
        """Return kind, assignment id and payload of the next frame; None if none has arrived."""
        while True:
            try:
                message = self.receive(0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError:
                os._exit(LOST)
            if not message:
                os._exit(0)
            kind, _, _, _, assignment_id = HEADER.unpack_from(message)
            if kind == ANSWER:  # to a job that has ended
                continue
            payload = message[HEADER.size :]
            if kind == PART:
                self._parts.append(payload)
                wait = True
                continue
            if self._parts:
                payload = b"".join([*self._parts, payload])
                self._parts.clear()
            return kind, assignment_id, payload

    def answer(self, assignment_id: int) -> bytes:
        """Wait for the answer to the request of this job, and return its payload.

        Jobs that arrive before it are discarded: the executor has given them to other sandboxes by then.
        """
        while True:
            try:
                message = self.receive(0)
            except OSError:
                os._exit(LOST)
            if not message:
                os._exit(0)
            kind, _, _, _, answered_id = HEADER.unpack_from(message)
            if kind == ANSWER and answered_id == assignment_id:
                return message[HEADER.size :]


class LogWriter:
    """Sends text as LOG frames, within the limits of one attempt."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._assignment_id: int | None = None
        self._lines = self._bytes = self._dropped = self._reported = 0
        self._tokens = 0.0
        self._refilled = 0.0
        self.lock = threading.RLock()
        self.forked = False

    @property
    def assignment_id(self) -> int | None:
        """The job whose log it is."""
        return self._assignment_id

    def begin(self, assignment_id: int) -> None:
        """Start the log of a job."""
        self._lines = self._bytes = self._dropped = self._reported = 0
        self._tokens, self._refilled = TEXT_BURST, time.monotonic()
        self._assignment_id = assignment_id

    def end(self) -> bytes:
        """End the log of the job; return the frame with the number of dropped lines not reported yet."""
        frame = self._dropped_frame()
        self._assignment_id = None
        return frame

    def _drop(self) -> None:
        """Count a dropped line, and report it occasionally, because the job may be killed before its end."""
        self._dropped += 1
        if self._dropped >= 2 * self._reported and (frame := self._dropped_frame()):
            self._wire.send(frame)

    def _dropped_frame(self) -> bytes:
        new = self._dropped - self._reported
        if not new or self._assignment_id is None:
            return b""
        self._reported = self._dropped
        return HEADER.pack(DROPPED, 0, 0, 4, self._assignment_id) + min(new, 2**32 - 1).to_bytes(4, "little")

    def fork(self) -> None:
        """Write to the pipes from now on: this is a forked child, which must not send frames."""
        self.lock = threading.RLock()
        self.forked = True

    def write(self, level: int, text: bytes) -> None:
        """Send text of one or more whole lines."""
        if self.forked:
            write_all(1 if level == INFO else 2, text + b"\n")
            return
        batch: list[bytes] = []
        size = 0
        for line in text.split(b"\n"):
            data = line[: LINE_CHARS + 1]
            if self._lines >= LOG_LINES or self._bytes + len(data) > LOG_BYTES:
                self._drop()
                continue
            self._lines += 1
            self._bytes += len(data)
            if size + len(data) >= CHUNK_BYTES:
                self._send(level, batch)
                batch, size = [], 0
            batch.append(data)
            size += len(data) + 1
        self._send(level, batch)

    def write_record(self, level: int, message: str, payload: bytes) -> None:
        """Send a line with fields; `payload` is JSON of the message and the fields."""
        if self.forked:
            self.write(level, message.encode("utf-8", "replace"))
            return
        with self.lock:
            if self._lines >= LOG_LINES or self._bytes + len(payload) > LOG_BYTES:
                self._drop()
                return
            self._lines += 1
            self._bytes += len(payload)
            if self._assignment_id is not None:
                self._wire.send(HEADER.pack(RECORD, level, 0, len(payload), self._assignment_id) + payload)

    def write_part(self, level: int, text: bytes, *, ends: bool = False) -> bool:
        """Send text of an unfinished line, or the end of one; return whether it is sent.

        Not too often, unless it ends a line of which a part was sent.
        """
        if self.forked:
            write_all(1 if level == INFO else 2, text)
            return True
        now = time.monotonic()
        refill = (now - self._refilled) * TEXT_PER_SECOND
        self._tokens, self._refilled = min(TEXT_BURST, self._tokens + refill), now
        if (
            self._assignment_id is None
            or self._bytes + len(text) > LOG_BYTES
            or not (ends or self._tokens > 1)
        ):
            return ends
        self._tokens -= 1
        self._bytes += len(text)
        self._wire.send(HEADER.pack(TEXT, level, 0, len(text), self._assignment_id) + text)
        return True

    def _send(self, level: int, batch: list[bytes]) -> None:
        if batch and self._assignment_id is not None:
            data = b"\n".join(batch)
            self._wire.send(HEADER.pack(LOG, level, 0, len(data), self._assignment_id) + data)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it to a pipe; if it has no reader, it is dropped."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        return


class JobSession:
    """The job that runs, for `JobChannel`, which is loaded when a job uses it first."""

    def __init__(self, wire: Wire, log: LogWriter) -> None:
        self.wire = wire
        self.log = log
        self.assignment_id: int | None = None
        self.payload = b""
        """That of the RUN frame."""
        self.began_ns = 0
        """By the clock of `perf_counter_ns`."""
        self.on_end: Callable[[], bytes] | None = None

    def begin(self, assignment_id: int, payload: bytes, began_ns: int) -> None:
        """Start a job."""
        self.assignment_id, self.payload, self.began_ns = assignment_id, payload, began_ns

    def end(self) -> bytes:
        """End the job: it cannot ask for anything any more. Return frames to send before its last one."""
        frames = b"" if self.on_end is None else self.on_end()
        self.assignment_id = None
        return frames

    @property
    def context(self) -> bytes:
        """JSON of what the handler may know of its job."""
        return split_run(self.payload)[1]

    @property
    def began(self) -> float:
        """When the job began, in seconds since 1970."""
        return time.time() - (time.perf_counter_ns() - self.began_ns) / 1e9


class JobModules:
    """Finds `runwright`, from which handlers import `job` and `log`, if a worker has no such module itself.

    It comes last in `sys.meta_path`. The SDK, if a worker has installed it, takes both from `runwright_job`.
    """

    FILES: ClassVar = {
        "runwright": "runwright_job.py",
        "runwright_job": "runwright_job.py",
        "runwright_channel": "runwright_channel.py",
    }

    def __init__(self, session: JobSession) -> None:
        self.session = session

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return how to load one of these modules, None for any other."""
        if name not in self.FILES:
            return None
        path = os.path.join(os.path.dirname(__file__), self.FILES[name])
        return ModuleSpec(name, SourceFileLoader(name, path), origin=path)

    @classmethod
    def connected(cls) -> JobSession:
        """Return the session of this process."""
        return next(finder for finder in sys.meta_path if isinstance(finder, cls)).session


def split_run(payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the environment, what the handler may know of its job, and the input of a RUN frame."""
    env_size, job_size = LENGTHS.unpack_from(payload)
    start = LENGTHS.size + env_size
    return payload[LENGTHS.size : start], payload[start : start + job_size], payload[start + job_size :]


def raw_output_pending() -> bool:
    """Return whether the pipe of stdout or stderr has bytes that the executor has not read."""
    for fd in (1, 2):
        try:
            fcntl.ioctl(fd, termios.FIONREAD, _pending_bytes)
        except OSError:
            continue
        if _pending_bytes[0]:
            return True
    return False


def check_size(output: bytes, what: str) -> bytes:
    """Return the output of a job; JobFailedError if it is too large."""
    if len(output) > OUTPUT_BYTES:
        raise JobFailedError(
            "output_too_large", f"The {what}'s output is over the limit of {OUTPUT_BYTES} bytes"
        )
    return output


def open_wire(arguments: list[str], kind: type[W]) -> W:
    """Open the inherited socket and drop to the uid, unless it is 0; arguments: FD UID FOLDER."""
    fd, uid = int(arguments[0]), int(arguments[1])
    os.chdir(arguments[2])
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.set_inheritable(fd, False)  # noqa: FBT003
    return kind(socket.socket(fileno=fd))
