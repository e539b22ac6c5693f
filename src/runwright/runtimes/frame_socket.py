"""The executor's side of a sandbox's socket: sends messages, and checks the frames that come out.

The protocol is described in `protocol.py`.
"""

import array
import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol

from runwright.runtimes.protocol import (
    FRAME_BYTES,
    HEADER,
    LATE_FRAMES,
    LEVELS,
    LOG_LINES,
    MESSAGE_BYTES,
    OUTPUT_BYTES,
    FrameKind,
)

READS_PER_TURN: Final = 64
BYTES_PER_TURN: Final = 256 * 1024
FRAMES_PER_TURN: Final = 256
MESSAGE_FRAMES: Final = 64
"""Most frames in one message, some times above what the harnesses send."""

_UCRED: Final = struct.Struct("3i")
_HEADER_BYTES: Final = HEADER.size
_MAX_FRAMES: Final = LOG_LINES + 200
_BEGAN: Final = int(FrameKind.BEGAN)
_LOG: Final = int(FrameKind.LOG)
_DROPPED: Final = int(FrameKind.DROPPED)
_ERROR: Final = int(FrameKind.ERROR)
_PART: Final = int(FrameKind.PART)
_COMPILED: Final = int(FrameKind.COMPILED)
_ENDS: Final = (int(FrameKind.RESULT), _ERROR)
_ANSWER: Final = int(FrameKind.ANSWER)
_RECORD: Final = int(FrameKind.RECORD)
_PROGRESS: Final = int(FrameKind.PROGRESS)
_REQUEST: Final = int(FrameKind.REQUEST)
_TEXT: Final = int(FrameKind.TEXT)
_LINES: Final = (_LOG, _RECORD, _TEXT)
_CALLS: Final = (_PROGRESS, _REQUEST)


class JobLog(Protocol):
    """The job that runs, as the socket needs to know it."""

    id: int
    frames: int
    """Frames since it began, beside its last one; an honest harness is bounded by the limits of the log."""
    dropped: int

    def write(self, at: datetime, level: str, data: bytes) -> None:
        """Write log lines."""

    def write_record(self, at: datetime, level: str, content: bytes) -> str | None:
        """Write a log line with fields; return how the content breaks the protocol."""

    def take_text_frame(self, at: datetime, level: str, data: bytes) -> str | None:
        """Take text of which the last line may be unfinished; return how that breaks the protocol."""

    def take_progress(self, content: bytes) -> str | None:
        """Report how far the job is; return how that breaks the protocol."""


class FrameHandler(Protocol):
    """Acts on the frames that start and end jobs; each method returns how its frame breaks the protocol."""

    def handle_began(self, assignment_id: int, at: datetime, now: float) -> str | None:
        """User code of that job begins."""

    def handle_compiled(self) -> str | None:
        """The module is compiled."""

    def handle_request(self, payload: bytes) -> str | None:
        """The running job asks for something."""

    def handle_end(self, kind: int, flags: int, micros: int, payload: bytes, at: datetime) -> str | None:
        """The running job has ended with this RESULT or ERROR."""

    def connection_lost(self) -> None:
        """Nothing can be sent any more."""


class FrameSocket:
    """Both ends of one sandbox's socket pair: the executor's, and `far`, which the sandbox has too."""

    __slots__ = (
        "_buffer",
        "_frames",
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
        self._frames = 0
        """Frames that were handled in this turn of the loop."""
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

    def read(self, at: datetime, now: float, expected: Callable[[], bool]) -> str | None:
        """Handle the messages that have arrived, up to a bound for each turn of the loop.

        Stops when no more frames are `expected`. Return how a message breaks the protocol.
        """
        budget = BYTES_PER_TURN
        self._frames = 0
        for _ in range(READS_PER_TURN):
            size = self.receive()
            if size < 0:
                break
            budget -= size
            violation = self.handle(size, at, now) if size else "an empty message"
            if violation is not None:
                return violation
            if budget < 0 or self._frames >= FRAMES_PER_TURN or not expected():
                break
        return None

    def handle(self, size: int, at: datetime, now: float) -> str | None:
        """Handle the frames of the message just received; return how it breaks the protocol, or None."""
        buffer, view = self._buffer, self._view
        offset, most = 0, self._frames + MESSAGE_FRAMES
        while offset < size:
            self._frames += 1
            if self._frames > most or size - offset < _HEADER_BYTES:
                return "a message with too many frames" if self._frames > most else "a frame without a header"
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
                violation = self._handle_other(running, kind, flags, bytes(view[start:offset]), at)
            if violation is not None:
                return violation
        return None

    def job_ended(self, job: JobLog) -> None:
        """Accept no more frames of this job, but a few that are late."""
        self.running = None
        self._last_id, self._late = job.id, 0

    def _ignore_late(self, kind: int, assignment_id: int) -> str | None:
        if kind not in _LINES or assignment_id != self._last_id:
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

    def _handle_other(self, job: JobLog, kind: int, flags: int, content: bytes, at: datetime) -> str | None:
        if kind == _TEXT and flags < len(LEVELS):
            return job.take_text_frame(at, LEVELS[flags], content)
        if kind not in _CALLS:
            return self._handle_output(job, kind, flags, content, at)
        if kind == _PROGRESS:
            return job.take_progress(content)
        if self._unsent:
            return "a request before it received the answer to the one before"
        return self._handler.handle_request(content)

    def _handle_output(self, job: JobLog, kind: int, flags: int, content: bytes, at: datetime) -> str | None:
        job.frames += 1
        if job.frames > _MAX_FRAMES:
            return "more frames than the limits of a log allow"
        if kind in _LINES:
            if flags >= len(LEVELS):
                return "an unknown log level"
            if kind == _RECORD:
                return job.write_record(at, LEVELS[flags], content)
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

        Each must be a whole frame: the caller does not recall parts. Answers are sent again.
        """
        unsent = list(self._unsent)
        if unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._near.fileno())
        received: list[bytes] = []
        with contextlib.suppress(OSError):
            while message := self.far.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT):
                received.append(message)
        recalled = [*received, *unsent]
        self.send(message for message in recalled if message[0] == _ANSWER)
        return {HEADER.unpack_from(message)[4] for message in recalled if message[0] != _ANSWER}

    def close(self) -> None:
        """Close both ends."""
        self.stop_listening()
        self._loop.remove_writer(self._near.fileno())
        self._near.close()
        self.far.close()
