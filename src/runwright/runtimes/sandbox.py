"""One sandbox: a process tree, its socket, its two pipes, the jobs in flight inside it.

```
  BOOTING ──READY──▶ IDLE ◀──────▶ BUSY          (blank until its first job, then one key's)
     └───────────────┴──────────────┴──▶ DYING ──▶ GONE
```

Invariants
- `inflight` is in the order sent; only its head can have begun; every run leaves it exactly
  once, by `run_ended` (an outcome) or by `recall` (never begun, still in the socket).
- A run ends by its own frame while BUSY, or at GONE. A verdict (timeout, cancel, violation)
  is noted, the tree is killed, and the outcome is reported only when the tree is gone.
- Jobs that had not begun when the sandbox dies end UNSTARTED; the socket's other end, which
  we hold too, tells which ones the sandbox never took.

Failure handling: death of the tree without a verdict fails the running job as
`out_of_memory` where the kernel says so, else as `handler_error` with the exit status. A
frame that breaks the protocol is a verdict. A sandbox that does not begin what it was sent
is killed after `BEGIN_SECONDS`; one that does not boot, after the boot timeout.
"""

import asyncio
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable
from datetime import datetime
from enum import IntEnum
from typing import Final, Protocol

import msgspec

from runwright.core.clock import Clock
from runwright.core.jobs import ErrorCode
from runwright.runtimes import protocol
from runwright.runtimes.model import Code, Outcome
from runwright.runtimes.protocol import HEADER, Kind
from runwright.runtimes.run import LEVELS, Run
from runwright.runtimes.tree import Tree

BEGIN_SECONDS: Final = 15.0
READS_PER_TURN: Final = 64
PIPE_READ_BYTES: Final = 64 * 1024
_UCRED: Final = struct.Struct("3i")
_HEADER_BYTES: Final = HEADER.size
_BEGAN: Final = int(Kind.BEGAN)
_LOG: Final = int(Kind.LOG)
_RESULT: Final = int(Kind.RESULT)
_DROPPED: Final = int(Kind.DROPPED)
_ERROR: Final = int(Kind.ERROR)
_PART: Final = int(Kind.PART)
_buffer: Final = bytearray(protocol.MESSAGE_BYTES)
_view: Final = memoryview(_buffer)


class State(IntEnum):
    """Where a sandbox is in its life."""

    BOOTING = 1
    IDLE = 2
    BUSY = 3
    DYING = 4
    GONE = 5


class Owner(Protocol):
    """What a sandbox tells the pool that owns it."""

    def sandbox_ready(self, sandbox: "Sandbox") -> None:
        """Boot is over."""

    def run_began(self, run: Run, at: datetime) -> None:
        """User code begins."""

    def run_ended(self, sandbox: "Sandbox", run: Run, outcome: Outcome, micros: int) -> None:
        """A run is over."""

    def sandbox_idle(self, sandbox: "Sandbox") -> None:
        """Nothing is in flight any more."""

    def sandbox_slow(self, sandbox: "Sandbox") -> None:
        """Jobs wait behind one that is not fast."""

    def sandbox_gone(self, sandbox: "Sandbox") -> None:
        """The tree is confirmed gone and all outcomes are reported."""


class _Failure(msgspec.Struct):
    """The payload of an ERROR frame."""

    code: ErrorCode
    message: str
    stack: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Why the pool or the sandbox's own guard kills a tree, as the running job will hear it."""

    code: ErrorCode
    message: str


_decode_failure = msgspec.json.Decoder(_Failure).decode
_decode_json = msgspec.json.Decoder().decode
_REPORTABLE: Final = frozenset(
    {ErrorCode.HANDLER_ERROR, ErrorCode.LOAD_ERROR, ErrorCode.OUT_OF_MEMORY, ErrorCode.OUTPUT_TOO_LARGE}
)


class Sandbox:
    """One sandbox from its launch until it is gone."""

    def __init__(
        self,
        *,
        runtime: str,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        oom_killed: Callable[[], bool],
        uid: int,
        patience: float,
    ) -> None:
        self.runtime = runtime
        self.uid = uid
        self.state = State.BOOTING
        self.code: Code | None = None
        self.inflight: deque[Run] = deque()
        self.tainted: str | None = None
        self.jobs_done = 0
        self.patience = patience
        """Seconds that a job may run before the ones behind it are taken back."""
        self.born = loop.time()
        self.idle_since = self.born
        self.raw_output = False
        self.boot_error = ""
        self.harness_pid = 0
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._oom_killed = oom_killed
        self._began: Run | None = None
        self._last_token = -1
        self._warm = False
        self._large = False
        self._outbox: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._verdict: Verdict | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._grace_at = 0.0
        self._sent_at = 0.0
        self._harness_fd = -1
        self._partial = [b"", b""]
        self._pipes = [-1, -1]
        self.sock, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)  # noqa: FBT003
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._recv_into = self.sock.recv_into
        self._send = self.sock.send

    # ------------------------------------------------------------------ life

    def launch(self, tree: Tree, start: Callable[[int, int], None], boot_seconds: float) -> None:
        """Start the processes; `start(stdout, stderr)` does so with the pipes to write to."""
        self.tree = tree
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        self._pipes = [out_read, err_read]
        try:
            start(out_write, err_write)
        finally:
            os.close(out_write)
            os.close(err_write)
        for stream, fd in enumerate(self._pipes):
            os.set_blocking(fd, False)  # noqa: FBT003
            self._loop.add_reader(fd, self._read_pipe, stream)
        self._loop.add_reader(self.sock.fileno(), self._read_ready)
        self._arm(self._loop.time() + boot_seconds)

    def bind(self, code: Code) -> None:
        """Give the sandbox its code; from now on it serves this key only."""
        self.code = code

    @property
    def may_queue(self) -> bool:
        """Whether a run may wait behind the one in flight.

        Not before the first run began (the code is still on its way), and not behind large
        input that is still on its way: so `recall` meets whole small messages only.
        """
        return self._warm and self.state is State.BUSY and not self._large

    def submit(self, run: Run) -> None:
        """Send a run; it waits inside the socket where another is running."""
        self.inflight.append(run)
        if self.state is State.BOOTING:
            return
        self._queue(run)
        if self.state is State.IDLE:
            self.state = State.BUSY
            self._sent_at = self._loop.time()
            self._arm(self._sent_at + BEGIN_SECONDS)
        elif len(self.inflight) == 2:  # noqa: PLR2004
            self._arm(self._loop.time() + 2 * self.patience)
        self._flush()

    def _queue(self, run: Run) -> None:
        if not self._warm and self.code is not None:
            header = msgspec.json.encode({"entrypoint": self.code.entrypoint, "memory_mb": self.code.memory_mb})
            payload = len(header).to_bytes(4, "little") + header + self.code.source
            self._outbox.extend(protocol.messages(Kind.LOAD, payload))
        messages = run.messages()
        self._large = len(messages) > 1
        self._outbox.extend(messages)

    def recall(self) -> list[Run]:
        """Take back, and return in order, the runs that the sandbox has not taken yet."""
        if self.state is State.BOOTING:
            recalled = list(self.inflight)
            self.inflight.clear()
            return recalled
        if not self._warm or self._large:
            return []
        tokens = {HEADER.unpack_from(message)[4] for message in self._outbox}
        self._outbox.clear()
        self._loop.remove_writer(self.sock.fileno())
        while True:
            try:
                message = self.far.recv(protocol.MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except OSError:
                break
            if len(message) < _HEADER_BYTES:
                break
            tokens.add(HEADER.unpack_from(message)[4])
        recalled = [run for run in self.inflight if run.token in tokens]
        self.inflight = deque(run for run in self.inflight if run.token not in tokens)
        if not self.inflight and self.state is State.BUSY:
            self.state = State.IDLE
        return recalled

    def cancel(self, run: Run, grace_seconds: float) -> None:
        """Ask the running job to stop, and kill the tree when the grace period is over."""
        run.cancelled = True
        self.tainted = "cancelled"
        self._grace_at = self._loop.time() + grace_seconds
        self._arm(self._grace_at)
        if self._harness_fd >= 0:
            try:
                signal.pidfd_send_signal(self._harness_fd, signal.SIGTERM)
            except ProcessLookupError:
                return

    def doom(self, verdict: Verdict | None) -> None:
        """Kill the tree; the running job ends with the verdict once it is gone."""
        if self.state >= State.DYING:
            return
        if self.state is not State.BOOTING:
            self._loop.remove_reader(self.sock.fileno())
        self.state = State.DYING
        self._verdict = verdict
        self.tree.kill()

    # ---------------------------------------------------------------- frames

    def _flush(self) -> None:
        if self.state is not State.BUSY:
            return
        while self._outbox:
            try:
                self._send(self._outbox[0])
            except BlockingIOError:
                self._loop.add_writer(self.sock.fileno(), self._flush)
                return
            except OSError:
                self.doom(Verdict(ErrorCode.HANDLER_ERROR, "The worker closed its connection"))
                return
            self._outbox.popleft()
        self._loop.remove_writer(self.sock.fileno())

    def _read_ready(self) -> None:
        """Take the READY message, which the kernel stamps with who sent it."""
        try:
            data, extra, _, _ = self.sock.recvmsg(_HEADER_BYTES, socket.CMSG_SPACE(_UCRED.size))
        except BlockingIOError:
            return
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                self.harness_pid, uid, _ = _UCRED.unpack(content)
                if self.uid and uid != self.uid:
                    self.boot_error = f"the harness runs as uid {uid}, not {self.uid}"
        if len(data) != _HEADER_BYTES or data[0] != Kind.READY or self.harness_pid <= 0 or self.boot_error:
            self.boot_error = self.boot_error or "the harness did not say that it is ready"
            self.doom(None)
            return
        self._loop.remove_reader(self.sock.fileno())
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        try:
            self._harness_fd = os.pidfd_open(self.harness_pid)
        except ProcessLookupError:
            self.doom(None)
            return
        self._loop.add_reader(self.sock.fileno(), self._read_frames)
        self.state = State.BUSY if self.inflight else State.IDLE
        self.idle_since = self._sent_at = self._loop.time()
        if self.inflight:
            self._arm(self._sent_at + BEGIN_SECONDS)
            self._queue(self.inflight[0])
            self._flush()
        self._owner.sandbox_ready(self)

    def _read_frames(self) -> None:
        at, now = self._clock(), self._loop.time()
        for _ in range(READS_PER_TURN):
            try:
                size = self._recv_into(_buffer)
            except BlockingIOError:
                break
            except OSError:
                size = 0
            if size == 0:
                self._loop.remove_reader(self.sock.fileno())
                return
            broken = self._take(size, at, now)
            if broken is not None:
                self.doom(Verdict(ErrorCode.HANDLER_ERROR, f"The worker broke the protocol: {broken}"))
                return
            if not self.inflight:
                break
        if not self.inflight and self.state is State.BUSY:
            self.state = State.IDLE
            self.idle_since = now
            self._owner.sandbox_idle(self)

    def _read_last_frames(self) -> None:
        """Hear what the sandbox said before it died; ends count unless there is a verdict."""
        self.state = State.DYING
        at, now = self._clock(), self._loop.time()
        while True:
            try:
                size = self._recv_into(_buffer)
            except OSError:
                return
            if size == 0 or self._take(size, at, now) is not None:
                return

    def _take(self, size: int, at: datetime, now: float) -> str | None:
        """Act on one message; return what is wrong with it."""
        offset = 0
        while offset < size:
            if size - offset < _HEADER_BYTES:
                return "a frame without a header"
            kind, flags, micros, length, token = HEADER.unpack_from(_buffer, offset)
            offset += _HEADER_BYTES
            end = offset + length
            if end > size:
                return "a frame longer than its message"
            if kind == _BEGAN:
                broken = self._take_began(token, at, now)
            elif self._began is None or token != self._began.token:
                broken = None if kind == _LOG and token == self._last_token else "a frame of a job that does not run"
            elif kind == _RESULT or kind == _ERROR:
                broken = self._take_end(kind, flags, micros, _view[offset:end], at)
            else:
                broken = self._take_other(kind, flags, _view[offset:end], at)
            if broken is not None:
                return broken
            offset = end
        return None

    def _take_began(self, token: int, at: datetime, now: float) -> str | None:
        if self._began is not None or not self.inflight or self.inflight[0].token != token:
            return "it began a job that it was not given"
        run = self._began = self.inflight[0]
        self._warm = True
        self._large = False
        run.began_at = at
        run.began = now
        run.deadline = now + run.assignment.timeout_seconds
        self._arm(run.deadline)
        self._owner.run_began(run, at)
        return None

    def _take_other(self, kind: int, flags: int, content: memoryview, at: datetime) -> str | None:
        run = self._began
        if run is None:
            return "a frame of a job that does not run"
        if kind == _LOG:
            if flags >= len(LEVELS):
                return "an unknown log level"
            run.write(at, LEVELS[flags], bytes(content))
        elif kind == _PART:
            self._parts_bytes += len(content)
            if self._parts_bytes > 2 * protocol.OUTPUT_BYTES:
                return "an end that is too long"
            self._parts.append(bytes(content))
        elif kind == _DROPPED:
            run.dropped += int.from_bytes(content[:4], "little")
        else:
            return "an unknown frame"
        return None

    def _take_end(self, kind: int, flags: int, micros: int, content: memoryview, at: datetime) -> str | None:
        if self._verdict is not None:
            return None
        run = self.inflight.popleft()
        payload = bytes(content)
        if self._parts:
            payload = b"".join([*self._parts, payload])
            self._parts.clear()
            self._parts_bytes = 0
        if flags & protocol.RAW_PENDING:
            self._drain_pipes(run, at)
        self._began = None
        self._last_token = run.token
        self.jobs_done += 1
        if run.cancelled:
            self.inflight.appendleft(run)
            self.doom(None)
            return None
        if kind == _RESULT:
            outcome = self._result(run, payload, at)
        else:
            failed = self._failure(run, payload, at)
            if isinstance(failed, str):
                self.inflight.appendleft(run)
                self._began = run
                return failed
            outcome = failed
        self._owner.run_ended(self, run, outcome, micros)
        self._sent_at = self._loop.time()
        if self.inflight:
            self._arm(self._sent_at + BEGIN_SECONDS)
            if self.tainted is not None:
                self._owner.sandbox_slow(self)
        return None

    def _result(self, run: Run, payload: bytes, at: datetime) -> Outcome:
        if len(payload) > protocol.OUTPUT_BYTES:
            text = f"The handler returned {len(payload)} bytes of JSON; the limit is {protocol.OUTPUT_BYTES}"
            return run.failed(at, ErrorCode.OUTPUT_TOO_LARGE, text)
        try:
            _decode_json(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.tainted = "broken output"
            return run.failed(at, ErrorCode.HANDLER_ERROR, "The handler's output is not valid JSON")
        return run.completed(at, payload)

    def _failure(self, run: Run, payload: bytes, at: datetime) -> Outcome | str:
        try:
            failure = _decode_failure(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return "an error that cannot be read"
        if failure.code not in _REPORTABLE:
            return "an error code that is not its to give"
        if failure.code in {ErrorCode.LOAD_ERROR, ErrorCode.OUT_OF_MEMORY}:
            self.tainted = failure.code.value
        message = cut(failure.message, protocol.ERROR_MESSAGE_BYTES)
        stack = None if failure.stack is None else cut(failure.stack, protocol.ERROR_STACK_BYTES)
        return run.failed(at, failure.code, message, stack)

    # ----------------------------------------------------------------- pipes

    def _read_pipe(self, stream: int) -> None:
        self._read_pipe_once(stream, self._began, self._clock())

    def _read_pipe_once(self, stream: int, run: Run | None, at: datetime) -> bool:
        """Read a chunk of stdout (0) or stderr (1); False when there is none."""
        fd = self._pipes[stream]
        try:
            data = os.read(fd, PIPE_READ_BYTES) if fd >= 0 else b""
        except BlockingIOError:
            return False
        if not data:
            self._close_pipe(stream)
            return False
        if self.code is None:
            self.boot_error = (self.boot_error + data.decode("utf-8", "replace"))[-2000:]
        elif run is not None:
            self.raw_output = True
            self._write_raw(stream, run, at, data)
        return True

    def _write_raw(self, stream: int, run: Run, at: datetime, data: bytes) -> None:
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            run.write(at, LEVELS[2 * stream], self._partial[stream] + head)
            self._partial[stream] = b""
        if len(self._partial[stream]) <= protocol.LINE_BYTES:
            self._partial[stream] += tail[: protocol.LINE_BYTES + 1]

    def _drain_pipes(self, run: Run, at: datetime) -> None:
        """Read what the run has written to its pipes, but not for ever."""
        for stream in (0, 1):
            for _ in range(64):
                if not self._read_pipe_once(stream, run, at):
                    break
            if self._partial[stream]:
                run.write(at, LEVELS[2 * stream], self._partial[stream])
                self._partial[stream] = b""

    def _close_pipe(self, stream: int) -> None:
        if self._pipes[stream] >= 0:
            self._loop.remove_reader(self._pipes[stream])
            os.close(self._pipes[stream])
            self._pipes[stream] = -1

    # ----------------------------------------------------------------- clock

    def _arm(self, at: float) -> None:
        """Make sure that `_check` runs at that time or earlier."""
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self.state is State.BOOTING:
            self.boot_error = self.boot_error or "it did not boot in time"
            self.doom(None)
        elif self.state is State.BUSY:
            self._check_busy(now)

    def _check_busy(self, now: float) -> None:
        run = self._began
        if run is None:
            if now >= self._sent_at + BEGIN_SECONDS:
                self.doom(None)
            else:
                self._arm(self._sent_at + BEGIN_SECONDS)
            return
        if run.cancelled:
            if now >= self._grace_at:
                self.doom(None)
            else:
                self._arm(self._grace_at)
            return
        if now >= run.deadline:
            limit = run.assignment.timeout_seconds
            self.doom(Verdict(ErrorCode.TIMEOUT, f"The handler did not end within {limit:g} seconds"))
            return
        self._arm(run.deadline)
        if len(self.inflight) > 1:
            if now - run.began > self.patience:
                self._owner.sandbox_slow(self)
            else:
                self._arm(run.began + 2 * self.patience)

    # ------------------------------------------------------------------- end

    def tree_gone(self) -> None:
        """Report what is left, once nothing of the tree is."""
        if self.harness_pid:
            self._read_last_frames()
        self.state = State.GONE
        at = self._clock()
        if self._began is not None:
            self._drain_pipes(self._began, at)
        self._end_runs(at)
        self._close()
        self._owner.sandbox_gone(self)

    def _end_runs(self, at: datetime) -> None:
        head = self._began or (self.inflight[0] if self.inflight and self.inflight[0].cancelled else None)
        while self.inflight:
            run = self.inflight.popleft()
            outcome = self._last_outcome(run, at) if run is head else run.unstarted(at)
            self._owner.run_ended(self, run, outcome, 0)
        self._began = None

    def _last_outcome(self, run: Run, at: datetime) -> Outcome:
        if run.cancelled:
            return run.ended_by_cancel(at)
        if self._verdict is not None:
            return run.failed(at, self._verdict.code, self._verdict.message)
        if self._oom_killed():
            limit = run.assignment.code.memory_mb
            return run.failed(at, ErrorCode.OUT_OF_MEMORY, f"The worker used more than its {limit} MiB of memory")
        return run.failed(at, ErrorCode.HANDLER_ERROR, describe_status(self.tree.status))

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self.sock.fileno())
        self._loop.remove_writer(self.sock.fileno())
        self.sock.close()
        self.far.close()
        for stream in (0, 1):
            self._close_pipe(stream)
        if self._harness_fd >= 0:
            os.close(self._harness_fd)
            self._harness_fd = -1


def cut(text: str, limit: int) -> str:
    """Return the text, cut to so many bytes of UTF-8 where it is longer."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode("utf-8", "ignore") + "…"


def describe_status(status: int | None) -> str:
    """Say how a process ended, for the person whose code it ran."""
    if status is None:
        return "The worker's process ended before it answered"
    number = -status if status < 0 else status - 128 if status > 128 else 0  # noqa: PLR2004
    if number:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"The worker's process was ended by {name} before it answered"
    return f"The worker's process exited with status {status} before it answered"


