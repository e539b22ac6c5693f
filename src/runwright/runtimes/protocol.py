"""The frames that an executor and a sandbox exchange.

Transport: one `SOCK_SEQPACKET` socket pair per sandbox, so that a send is one message and a message is
received whole or not at all. The executor keeps **both** ends: it can take back, atomically and without
the sandbox's help, what the sandbox has not received yet (`Sandbox.recall`). This proves that a
pipelined job never began.

A message holds one or more frames; a frame is a header (kind, flags, microseconds, length, assignment id)
and its payload. From executor to sandbox there is one frame per message; content above `CHUNK_BYTES`
is sent ahead of its frame as `PART` frames.

```
executor                              sandbox
   |  <------------------------ READY     booted, user code not seen yet
   |  LOAD (code) ------------------->    kept, not run
   |  RUN id (env, input) ----------->
   |  <--------------------- BEGAN id     before any user code runs (also before loading)
   |  <------------------ COMPILED id     once, if LOAD came with an empty file for the compiled module
   |  <----------------------- LOG id     any number
   |  <------------- RESULT or ERROR id   the end of that job
```

Invariants: BEGAN names the oldest job in flight; LOG, RESULT and ERROR name the job that began; sizes
are within the limits below; text is UTF-8; output is JSON; between jobs nothing is sent, but a few late
LOGs. A message that breaks one of these is a protocol violation: the sandbox is killed, the running job
fails and the jobs behind it are handed back unstarted. Frames are checked to be well-formed, not trusted
to be true: user code can only lie about its own job.
"""

import array
import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Final, Protocol

import msgspec

from runwright.runtimes.model import APP, CODE, WorkerCode

CHUNK_BYTES: Final = 64 * 1024
"""Largest content of one message; below half of the kernel's default socket buffer."""

MESSAGE_BYTES: Final = 256 * 1024
"""Size of the receive buffer, above what the kernel lets through."""

FRAME_BYTES: Final = 80 * 1024
"""Largest payload of a frame from a sandbox: a log line of `LINE_BYTES` characters is below."""

LATE_FRAMES: Final = 16
"""How many log frames of a job that has ended are ignored: its threads may have been about to send them."""

OUTPUT_BYTES: Final = 1024 * 1024
ERROR_MESSAGE_BYTES: Final = 4 * 1024
ERROR_STACK_BYTES: Final = 32 * 1024
LINE_BYTES: Final = 16 * 1024
LOG_LINES: Final = 10_000
LOG_BYTES: Final = 4 * 1024 * 1024
LEVELS: Final = ("info", "warn", "error")
"""Names of the levels of LOG frames."""

HEADER: Final = struct.Struct("<BBHIQ")
"""kind, flags, microseconds that the handler took (in RESULT and ERROR, at most 65535), length, id."""

RAW_PENDING: Final = 1
"""Flag of RESULT and ERROR: the sandbox's stdout or stderr pipe may hold bytes of this job."""

WORN: Final = 2
"""Flag of RESULT and ERROR: the sandbox must not be reused."""

_UCRED: Final = struct.Struct("3i")


class FrameKind(IntEnum):
    """What a frame carries."""

    LOAD = 1
    RUN = 2
    PART = 3
    READY = 16
    BEGAN = 17
    LOG = 18
    DROPPED = 19
    RESULT = 20
    ERROR = 21
    COMPILED = 22


class LogLevel(IntEnum):
    """Levels of a LOG frame, in its flags."""

    INFO = 0
    WARN = 1
    ERROR = 2


def frame(kind: FrameKind, payload: bytes, assignment_id: int = 0, flags: int = 0) -> bytes:
    """Return one frame."""
    return HEADER.pack(kind, flags, 0, len(payload), assignment_id) + payload


def messages(kind: FrameKind, payload: bytes, assignment_id: int = 0) -> list[bytes]:
    """Return the messages that carry one frame, with large content in parts ahead of it."""
    if len(payload) <= CHUNK_BYTES:
        return [frame(kind, payload, assignment_id)]
    cut = len(payload) - len(payload) % CHUNK_BYTES
    parts = [
        frame(FrameKind.PART, payload[i : i + CHUNK_BYTES], assignment_id) for i in range(0, cut, CHUNK_BYTES)
    ]
    return [*parts, frame(kind, payload[cut:], assignment_id)]


def load_payload(code: WorkerCode, *, mounted: bool, compiled: bool = False) -> bytes:
    """Return the payload of a LOAD frame: where the code is inside the sandbox, or the code itself.

    `compiled`: a compiled module comes with the message.
    """
    fields = {
        "entrypoint": code.entrypoint,
        "network": code.network,
        "memory_mb": code.memory_mb,
        "compiled": compiled,
    }
    if code.bundle is not None:
        fields["folder"] = CODE if mounted else code.bundle
    if code.layer is not None:
        fields["layer"] = APP if mounted else code.layer
    header = msgspec.json.encode(fields)
    return len(header).to_bytes(4, "little") + header + code.source


def run_payload(env: bytes, job_input: bytes) -> bytes:
    """Return the payload of a RUN frame: the length of the environment's JSON, that JSON, the input."""
    return len(env).to_bytes(4, "little") + env + job_input


_HEADER_BYTES: Final = HEADER.size
_MAX_FRAMES: Final = LOG_LINES + 200
_BEGAN: Final = int(FrameKind.BEGAN)
_LOG: Final = int(FrameKind.LOG)
_DROPPED: Final = int(FrameKind.DROPPED)
_ERROR: Final = int(FrameKind.ERROR)
_PART: Final = int(FrameKind.PART)
_COMPILED: Final = int(FrameKind.COMPILED)
_ENDS: Final = (int(FrameKind.RESULT), _ERROR)


class JobLog(Protocol):
    """The job that runs, as the socket needs to know it."""

    id: int
    frames: int
    """Frames since it began, beside its last one; an honest harness is bounded by the limits of the log."""
    dropped: int

    def write(self, at: datetime, level: str, data: bytes) -> None:
        """Write log lines."""


class FrameHandler(Protocol):
    """Acts on the frames that start and end jobs; each method returns how its frame breaks the protocol."""

    def handle_began(self, assignment_id: int, at: datetime, now: float) -> str | None:
        """User code of that job begins."""

    def handle_compiled(self) -> str | None:
        """The module is compiled."""

    def handle_end(self, kind: int, flags: int, micros: int, payload: bytes, at: datetime) -> str | None:
        """The running job has ended with this RESULT or ERROR."""

    def connection_lost(self) -> None:
        """Nothing can be sent any more."""


class FrameSocket:
    """Both ends of one sandbox's socket pair: the executor's, and `far`, which the sandbox has too."""

    __slots__ = (
        "_buffer",
        "_handler",
        "_last_id",
        "_late",
        "_loop",
        "_near",
        "_parts",
        "_parts_bytes",
        "_readable",
        "_unsent",
        "_view",
        "far",
        "running",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, handler: FrameHandler) -> None:
        self._loop = loop
        self._handler = handler
        self._unsent: deque[bytes] = deque()
        self._readable = False
        self.running: JobLog | None = None
        """The job whose frames are accepted."""
        self._last_id = -1
        """The job that ran before, whose late log lines are ignored, and how many have come."""
        self._late = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._buffer = bytearray(MESSAGE_BYTES)
        self._view = memoryview(self._buffer)
        self._near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near.setblocking(False)  # noqa: FBT003
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def listen(self, readable: Callable[[], None]) -> None:
        """Call `readable` whenever a message has arrived."""
        self.stop_listening()
        self._loop.add_reader(self._near.fileno(), readable)
        self._readable = True

    def stop_listening(self) -> None:
        """Remove the callback."""
        if self._readable:
            self._loop.remove_reader(self._near.fileno())
            self._readable = False

    def receive_ready(self) -> tuple[int, int] | None:
        """Receive the READY message; return the pid and uid of its sender, as the kernel reports them."""
        data, extra, _, _ = self._near.recvmsg(HEADER.size, socket.CMSG_SPACE(_UCRED.size))
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        if len(data) != HEADER.size or data[0] != FrameKind.READY:
            return None
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid, uid, _ = _UCRED.unpack(content)
                return (pid, uid) if pid > 0 else None
        return None

    def receive(self) -> int:
        """Receive one message into the buffer and return its size; -1 if none has arrived."""
        try:
            return self._near.recv_into(self._buffer)
        except BlockingIOError:
            return -1
        except OSError:
            return 0

    def handle(self, size: int, at: datetime, now: float) -> str | None:
        """Handle the frames of the message just received; return how it breaks the protocol, or None."""
        buffer, view = self._buffer, self._view
        offset = 0
        while offset < size:
            if size - offset < _HEADER_BYTES:
                return "a frame without a header"
            kind, flags, micros, length, assignment_id = HEADER.unpack_from(buffer, offset)
            start = offset + _HEADER_BYTES
            offset = start + length
            if offset > size or length > FRAME_BYTES:
                return "a frame that is too long"
            running = self.running
            if kind == _BEGAN:
                violation = self._handler.handle_began(assignment_id, at, now)
            elif running is None or assignment_id != running.id:
                violation = self._ignore_late(kind, assignment_id)
            elif kind == _COMPILED:
                violation = self._handler.handle_compiled()
            elif kind in _ENDS:
                payload = bytes(view[start:offset])
                if self._parts:
                    payload = self._take_parts(payload)
                violation = self._handler.handle_end(kind, flags, micros, payload, at)
            else:
                violation = self._handle_output(running, kind, flags, bytes(view[start:offset]), at)
            if violation is not None:
                return violation
        return None

    def job_ended(self, job: JobLog) -> None:
        """Accept no more frames of this job, but a few that are late."""
        self.running = None
        self._last_id, self._late = job.id, 0

    def _ignore_late(self, kind: int, assignment_id: int) -> str | None:
        if kind != _LOG or assignment_id != self._last_id:
            return "a frame of a job that is not running"
        self._late += 1
        return None if self._late <= LATE_FRAMES else "frames of a job that has ended"

    def read_rest(self, at: datetime, now: float) -> None:
        """Handle what a dead sandbox has sent, up to the first message that breaks the protocol."""
        while (size := self.receive()) > 0:
            if self.handle(size, at, now) is not None:
                return

    def _take_parts(self, payload: bytes) -> bytes:
        whole = b"".join([*self._parts, payload])
        self._parts.clear()
        self._parts_bytes = 0
        return whole

    def _handle_output(self, job: JobLog, kind: int, flags: int, content: bytes, at: datetime) -> str | None:
        job.frames += 1
        if job.frames > _MAX_FRAMES:
            return "more frames than the limits of a log allow"
        if kind == _LOG:
            if flags >= len(LEVELS):
                return "an unknown log level"
            job.write(at, LEVELS[flags], content)
        elif kind == _PART:
            self._parts_bytes += len(content)
            if self._parts_bytes > 2 * OUTPUT_BYTES:
                return "a result that is too long"
            self._parts.append(content)
        elif kind == _DROPPED:
            job.dropped += int.from_bytes(content[:4], "little")
        else:
            return "an unknown frame"
        return None

    def send_with_file(self, messages: Sequence[bytes], fd: int) -> None:
        """Send messages ahead of all others, with a file descriptor attached to the first."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self._near.sendmsg(messages[:1], rights)
        except OSError:
            self._handler.connection_lost()
            return
        self.send(messages[1:])

    def send(self, messages: Iterable[bytes]) -> None:
        """Send messages in order, now or as soon as the socket accepts them."""
        self._unsent.extend(messages)
        self._flush()

    def _flush(self) -> None:
        unsent = self._unsent
        while unsent:
            try:
                self._near.send(unsent[0])
            except BlockingIOError:
                self._loop.add_writer(self._near.fileno(), self._flush_more)
                return
            except OSError:
                unsent.clear()
                self._handler.connection_lost()
                return
            unsent.popleft()

    def _flush_more(self) -> None:
        self._loop.remove_writer(self._near.fileno())
        self._flush()

    def recall(self) -> set[int]:
        """Take back all messages that the sandbox has not received; return the assignment ids in them.

        Each must be a whole frame: the caller does not recall parts.
        """
        assignment_ids = {HEADER.unpack_from(message)[4] for message in self._unsent}
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._near.fileno())
        with contextlib.suppress(OSError):
            while message := self.far.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT):
                assignment_ids.add(HEADER.unpack_from(message)[4])
        return assignment_ids

    def close(self) -> None:
        """Close both ends."""
        self.stop_listening()
        self._loop.remove_writer(self._near.fileno())
        self._near.close()
        self.far.close()
