"""One sandbox: a process tree, its socket, its two pipes, the jobs in flight inside it.

```
  BOOTING ──READY──▶ IDLE ◀──────▶ BUSY          (blank until its first job, then one key's)
     └───────────────┴──────────────┴──▶ DYING ──▶ GONE
```

Invariants
- `inflight` is in the order sent; only its head can have begun; every run leaves it exactly
  once, by an outcome or by `recall` (never begun: it was still in the socket).
- A run ends by its own frame while BUSY, or at GONE. A verdict (timeout, violation, lost
  lease) or a cancel is noted, the tree is killed, and the outcome is reported only when the
  tree is gone.
- Runs that had not begun when the sandbox dies end UNSTARTED.

Failure handling: death of the tree without a verdict fails the running job, as
`out_of_memory` where the kernel says so, else as `handler_error` with the exit status. A
frame that breaks the protocol is a verdict. A sandbox that does not begin what it was sent is
killed after `BEGIN_SECONDS`, one that does not boot after the boot timeout.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable
from datetime import datetime
from enum import IntEnum
from typing import Final, Protocol

from runwright.core.clock import Clock
from runwright.core.job_state import ErrorCode
from runwright.runtimes import protocol
from runwright.runtimes.model import AttemptOutcome, WorkerCode
from runwright.runtimes.pool.deadline_timer import DeadlineTimer
from runwright.runtimes.pool.frame_socket import FrameSocket
from runwright.runtimes.pool.job_network import JobNetwork
from runwright.runtimes.pool.outcomes import (
    ErrorReport,
    KillReason,
    accept_output,
    describe_status,
    read_failure,
)
from runwright.runtimes.pool.running_job import LEVELS, RunningJob
from runwright.runtimes.pool.stdio import Stdio
from runwright.runtimes.protocol import HEADER, FrameKind
from runwright.runtimes.wasm_modules import CompiledModule
from runwright.sandbox.cpu_affinity import CpuShare
from runwright.sandbox.process_tree import ProcessTree
from runwright.sandbox.resource_limits import ResourceLimits
from runwright.secrets.masking import Truncation

BEGIN_SECONDS: Final = 15.0
COMPILE_SECONDS: Final = 60.0
"""For compiling a module, before the time of its first job counts."""
READS_PER_TURN: Final = 64
_HEADER_BYTES: Final = HEADER.size
_BEGAN: Final = int(FrameKind.BEGAN)
_LOG: Final = int(FrameKind.LOG)
_DROPPED: Final = int(FrameKind.DROPPED)
_ERROR: Final = int(FrameKind.ERROR)
_PART: Final = int(FrameKind.PART)
_COMPILED: Final = int(FrameKind.COMPILED)
_ENDS: Final = (int(FrameKind.RESULT), _ERROR)
HEAP_EXHAUSTED: Final = (b"JavaScript heap out of memory", b"Fatal JavaScript out of memory")
"""What node and deno say before they abort at the size of their heap, below that of the whole sandbox."""
_MAX_FRAMES: Final = protocol.LOG_LINES + 200


class SandboxState(IntEnum):
    """Where a sandbox is in its life."""

    BOOTING = 1
    IDLE = 2
    BUSY = 3
    DYING = 4
    GONE = 5


class SandboxOwner(Protocol):
    """What a sandbox tells the pool that owns it."""

    def sandbox_ready(self, sandbox: "Sandbox") -> None:
        """Boot is over."""

    def run_began(self, run: RunningJob, at: datetime) -> None:
        """User code begins."""

    def run_ended(self, sandbox: "Sandbox", run: RunningJob, outcome: AttemptOutcome, micros: int) -> None:
        """A run is over."""

    def sandbox_idle(self, sandbox: "Sandbox") -> None:
        """Nothing is in flight any more."""

    def sandbox_slow(self, sandbox: "Sandbox") -> None:
        """Runs wait behind one that will not end soon, or in a sandbox that will be thrown away."""

    def sandbox_gone(self, sandbox: "Sandbox") -> None:
        """The tree is confirmed gone and all outcomes are reported."""


class Sandbox:
    """One sandbox from its launch until it is gone."""

    tree: ProcessTree
    share: CpuShare
    """What it may take of the processors."""

    def __init__(
        self,
        *,
        runtime: str,
        memory_mb: int,
        uid: int,
        confinement: ResourceLimits,
        patience: float,
        owner: SandboxOwner,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
    ) -> None:
        self.runtime = runtime
        self.memory_mb = memory_mb
        self.uid = uid
        self.confinement = confinement
        self.patience = patience
        """Seconds that a job may run before the ones behind it are taken back."""
        self.state = SandboxState.BOOTING
        self.code: WorkerCode | None = None
        self.mounted = True
        """Whether the folders of its code are where bwrap mounts them, and not where the host has them."""
        self.inflight: deque[RunningJob] = deque()
        self.tainted: str | None = None
        self.retiring = False
        self.jobs_done = 0
        self.born = self.idle_since = loop.time()
        self.boot_error = ""
        self.harness_pid = 0
        self.pipes = Stdio(loop, clock, catch_up=self._catch_up)
        self.network = JobNetwork(loop, hear=self._hear_network)
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._began: RunningJob | None = None
        self._last_token = -1
        self._loaded = False
        self._warm = False
        self._large = False
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._artefact: CompiledModule | None = None
        self._verdict: KillReason | None = None
        self._grace_at = self._sent_at = 0.0
        self._harness_fd = -1
        self._reading = False
        self._alarm = DeadlineTimer(loop, self._check)
        self.channel = FrameSocket(loop, failed=self._unreachable)
        confinement.watch(self._use_too_much)

    # What the pool asks for

    def launch(self, start: Callable[[int, int], None], boot_seconds: float) -> None:
        """Start the processes; `start(stdout, stderr)` does so with the pipes to write to."""
        writers = self.pipes.open()
        try:
            start(*writers)
        finally:
            for fd in writers:
                os.close(fd)
        self.channel.listen(self._read_ready)
        self._alarm.set(self._loop.time() + boot_seconds)

    def bind(self, code: WorkerCode, overhead_mb: int, artefact: CompiledModule | None = None) -> None:
        """Give the sandbox its code and its memory limit; from now on it serves this key only."""
        self.code = code
        self.network.serve(code.network)
        self._artefact = artefact
        try:
            self.confinement.limit_memory((code.memory_mb + overhead_mb) * 1024 * 1024)
        except OSError:
            self.boot_error = "its memory limit could not be set"
            self.doom(None)

    def load(self) -> None:
        """Send the code before there is a run, so that the first one finds it there."""
        if self.state is SandboxState.IDLE and self.code is not None and not self._loaded:
            self._send_code(self.code)

    @property
    def may_queue(self) -> bool:
        """Whether a run may wait behind the one in flight.

        Not before the first run began (the code is still on its way), and not behind large
        input that is still on its way: so `recall` meets whole small messages only.
        """
        return (
            self._warm
            and self.state is SandboxState.BUSY
            and not (self._large or self.retiring or self.tainted)
        )

    def running_for(self, now: float) -> float:
        """Return for how many seconds the job that runs has been running."""
        return now - self._began.began if self._began is not None else 0.0

    def submit(self, run: RunningJob) -> None:
        """Send a run; it waits inside the socket where another is running."""
        self.inflight.append(run)
        if self.state is SandboxState.BOOTING or self.state >= SandboxState.DYING:
            return
        if self.state is SandboxState.IDLE:
            self.state = SandboxState.BUSY
            self._expect_begin()
        elif len(self.inflight) == 2:  # noqa: PLR2004
            self._alarm.set(self._loop.time() + 2 * self.patience)
        self._send(run)

    def recall(self) -> list[RunningJob]:
        """Take back, and return in order, the runs that the sandbox has not taken yet."""
        if self.state is SandboxState.BOOTING:
            recalled = list(self.inflight)
            self.inflight.clear()
            return recalled
        if not self._warm or self._large:
            return []
        tokens = self.channel.recall()
        recalled = [run for run in self.inflight if run.token in tokens]
        self.inflight = deque(run for run in self.inflight if run.token not in tokens)
        if not self.inflight and self.state is SandboxState.BUSY:
            self.state = SandboxState.IDLE
        return recalled

    def catch_up(self) -> None:
        """Hear what the sandbox has said already; after `recall` nothing further can begin."""
        if self.state is SandboxState.BUSY and not self._reading:
            self._read_frames()

    def cancel(self, run: RunningJob, grace_seconds: float) -> None:
        """Ask the running job to stop, and kill the tree when the grace period is over."""
        if run.cancelled:
            return
        run.cancelled = True
        if run is self.inflight[0] and len(self.inflight) > 1 and self._warm and not self._large:
            # What has not been taken was recalled, and the next run was not: this one is over and its
            # end is on the way. A signal would hit the next one, which nobody cancelled.
            run.over = True
            return
        self.tainted = "cancelled"
        self._grace_at = self._loop.time() + grace_seconds
        self._alarm.set(self._grace_at)
        with contextlib.suppress(ProcessLookupError):
            if self._harness_fd >= 0:
                signal.pidfd_send_signal(self._harness_fd, signal.SIGTERM)

    def doom(self, verdict: KillReason | None) -> None:
        """Kill the tree; the running job ends with the verdict once it is gone."""
        if self.state >= SandboxState.DYING:
            return
        self.channel.deafen()
        self.state = SandboxState.DYING
        self._verdict = verdict
        self.tree.kill()

    # Frames out

    def _send(self, run: RunningJob) -> None:
        if not self._loaded and self.code is not None:
            self._send_code(self.code)
        messages = run.messages()
        self._large = len(messages) > 1
        self.channel.send(messages)

    def _send_code(self, code: WorkerCode) -> None:
        self._loaded = True
        artefact = self._artefact
        if artefact is None:
            self.channel.send(
                protocol.messages(FrameKind.LOAD, protocol.load_payload(code, mounted=self.mounted))
            )
            return
        payload = protocol.load_payload(code, mounted=self.mounted, compiled=artefact.compiled)
        self.channel.send_with_file(protocol.messages(FrameKind.LOAD, payload), artefact.fd)
        if artefact.compiled:
            self._drop_artefact()

    def _drop_artefact(self) -> None:
        if self._artefact is not None:
            self._artefact.close()
            self._artefact = None

    def _use_too_much(self, what: str | None) -> None:
        self.doom(KillReason(ErrorCode.HANDLER_ERROR, f"The worker used {what}") if what else None)

    def _unreachable(self) -> None:
        self.doom(KillReason(ErrorCode.HANDLER_ERROR, "The worker closed its connection"))

    def _expect_begin(self) -> None:
        self._sent_at = self._loop.time()
        self._alarm.set(self._sent_at + BEGIN_SECONDS)

    # Frames in

    def _read_ready(self) -> None:
        sender = self.channel.receive_ready()
        if sender is None:
            self.boot_error = "the harness did not say that it is ready"
        else:
            self.harness_pid, uid = sender
            if self.uid and uid != self.uid:
                self.boot_error = f"the harness runs as uid {uid}, not {self.uid}"
            with contextlib.suppress(ProcessLookupError):
                self._harness_fd = os.pidfd_open(self.harness_pid)
        if self.boot_error or self._harness_fd < 0:
            self.doom(None)
            return
        self.channel.listen(self._read_frames)
        self.pipes.booting = False
        self.confinement.settle()
        self.state = SandboxState.BUSY if self.inflight else SandboxState.IDLE
        self.idle_since = self._loop.time()
        if self.inflight:
            self._expect_begin()
            self._send(self.inflight[0])
        self._owner.sandbox_ready(self)

    def _catch_up(self) -> bool:
        self.catch_up()
        return self.state is SandboxState.BUSY and self._began is None

    def _read_frames(self) -> None:
        now = self._loop.time()
        self._reading = True
        broken = self._read_some(self._clock(), now)
        self._reading = False
        if broken is not None:
            self.doom(KillReason(ErrorCode.HANDLER_ERROR, f"The worker broke the protocol: {broken}"))
        if not self.inflight and self.state is SandboxState.BUSY:
            self.state = SandboxState.IDLE
            self.idle_since = now
            self._owner.sandbox_idle(self)

    def _read_some(self, at: datetime, now: float) -> str | None:
        for _ in range(READS_PER_TURN):
            size = self.channel.receive()
            if size < 0:
                return None
            broken = self._take(size, at, now)
            if broken is not None or not self.inflight or self.state is not SandboxState.BUSY:
                return broken
        return None

    def _read_last_frames(self) -> None:
        """Hear what the sandbox said before it died."""
        at, now = self._clock(), self._loop.time()
        while (size := self.channel.receive()) > 0:
            if self._take(size, at, now) is not None:
                return

    def _take(self, size: int, at: datetime, now: float) -> str | None:
        """Act on one message; return what is wrong with it."""
        if not size:
            return "an empty message"
        buffer, view = self.channel.buffer, self.channel.view
        offset = 0
        while offset < size:
            if size - offset < _HEADER_BYTES:
                return "a frame without a header"
            kind, flags, micros, length, token = HEADER.unpack_from(buffer, offset)
            start = offset + _HEADER_BYTES
            offset = start + length
            if offset > size:
                return "a frame longer than its message"
            if kind == _BEGAN:
                broken = self._take_began(token, at, now)
            elif self._began is None or token != self._began.token:
                late = kind == _LOG and token == self._last_token
                broken = None if late else "a frame of a job that does not run"
            elif kind == _COMPILED:
                broken = self._take_compiled(self._began)
            elif kind in _ENDS:
                broken = self._take_end(kind, flags, micros, bytes(view[start:offset]), at)
            else:
                broken = self._take_other(kind, flags, bytes(view[start:offset]), at)
            if broken is not None:
                return broken
        return None

    def _take_began(self, token: int, at: datetime, now: float) -> str | None:
        if self.state >= SandboxState.DYING:
            return self._note_began(token, at)
        if self._began is not None or not self.inflight or self.inflight[0].token != token:
            return "it began a job that it was not given"
        run = self._began = self.pipes.current = self.inflight[0]
        self._warm = True
        self._large = False
        run.began_at = at
        run.began = now
        run.deadline = now + run.assignment.timeout_seconds
        if self._artefact is not None:
            run.deadline += COMPILE_SECONDS
        self._alarm.set(run.deadline)
        self._owner.run_began(run, at)
        self._write_network(run, self.network.take_early())
        return None

    def _note_began(self, token: int, at: datetime) -> str | None:
        """Take note that a run began in a tree that is being killed: it will not be unstarted."""
        for run in self.inflight:
            if run.token == token and run.began_at is None:
                run.began_at = at
                self._owner.run_began(run, at)
                return None
        return "it began a job that it was not given"

    def _take_other(self, kind: int, flags: int, content: bytes, at: datetime) -> str | None:
        run = self._began
        if run is None:
            return "a frame of a job that does not run"
        run.frames += 1
        if run.frames > _MAX_FRAMES:
            return "more frames than the limits of a log allow"
        if kind == _LOG:
            if flags >= len(LEVELS):
                return "an unknown log level"
            run.write(at, LEVELS[flags], content)
        elif kind == _PART:
            self._parts_bytes += len(content)
            if self._parts_bytes > 2 * protocol.OUTPUT_BYTES:
                return "an end that is too long"
            self._parts.append(content)
        elif kind == _DROPPED:
            run.dropped += int.from_bytes(content[:4], "little")
        else:
            return "an unknown frame"
        return None

    def _hear_network(self) -> None:
        """Write what was said of the network to the log of the run that met it; see `network`."""
        self.catch_up()
        if self._began is not None:
            self._write_network(self._began, self.network.take())
        elif self.inflight:
            self.network.keep()
        else:
            self.network.take()

    def _write_network(self, run: RunningJob, lines: list[str]) -> None:
        for line in lines:
            run.write(self._clock(), "warn", line.encode())

    def _take_compiled(self, run: RunningJob) -> str | None:
        """Keep the compiled module: none of its code has run, or this were not the first frame."""
        artefact, self._artefact = self._artefact, None
        if artefact is None or run.frames:
            if artefact is not None:
                artefact.close()
            return "it compiled what it was not given"
        artefact.keep()
        run.deadline = self._loop.time() + run.assignment.timeout_seconds
        self._alarm.set(run.deadline)
        return None

    def _take_end(self, kind: int, flags: int, micros: int, payload: bytes, at: datetime) -> str | None:
        run = self.inflight[0]
        if self._verdict is not None:
            return None
        if self._parts:
            payload = b"".join([*self._parts, payload])
            self._parts.clear()
            self._parts_bytes = 0
        failure = read_failure(payload) if kind == _ERROR else None
        if isinstance(failure, str):
            return failure
        if flags & protocol.RAW_PENDING:
            self.pipes.drain(run)
        elif self.pipes.unfinished:
            self.pipes.end_lines(run)
        if run.cancelled and not run.over:
            self.doom(None)
            return None
        if flags & protocol.WORN:
            self.tainted = "worn"
        outcome = self._outcome(run, payload, failure, at)
        self._forget_head()
        self.jobs_done += 1
        self._owner.run_ended(self, run, outcome, micros)
        if self.inflight:
            self._expect_begin()
            if self.tainted is not None:
                self._owner.sandbox_slow(self)
        return None

    def _outcome(
        self, run: RunningJob, payload: bytes, failure: ErrorReport | None, at: datetime
    ) -> AttemptOutcome:
        if run.over:
            return run.ended_by_cancel(at)
        return accept_output(run, payload, at) if failure is None else self._fail(run, failure, at)

    def _fail(self, run: RunningJob, failure: ErrorReport, at: datetime) -> AttemptOutcome:
        code, message = failure.code, failure.message
        if self.confinement.out_of_memory():
            self.tainted = "out of memory"
            if code is ErrorCode.HANDLER_ERROR:
                said = run.clean(message, protocol.ERROR_MESSAGE_BYTES)
                code, message = ErrorCode.OUT_OF_MEMORY, f"{self._memory_message(run)} ({said})"
        elif code in {ErrorCode.LOAD_ERROR, ErrorCode.OUT_OF_MEMORY}:
            self.tainted = code.value
        return run.failed(at, code, message, failure.stack)

    def _forget_head(self) -> None:
        run = self.inflight.popleft()
        self._last_token = run.token
        self._began = self.pipes.current = None

    # The clock

    def _check(self) -> None:
        now = self._loop.time()
        if self.state is SandboxState.BOOTING:
            self.boot_error = self.boot_error or "it did not boot in time"
            self.doom(None)
        elif self.state is SandboxState.BUSY:
            if self._began is None:
                self._due(self._sent_at + BEGIN_SECONDS, now, None)
            elif self._began.cancelled:
                self._due(self._grace_at, now, None)
            else:
                self._check_running(self._began, now)

    def _check_running(self, run: RunningJob, now: float) -> None:
        limit = run.assignment.timeout_seconds
        what = f"The handler did not end within {limit:g} seconds"
        if self._artefact is not None:
            what = f"The module was not compiled within {COMPILE_SECONDS + limit:g} seconds"
        timeout = KillReason(ErrorCode.TIMEOUT, what)
        if self._due(run.deadline, now, timeout) or len(self.inflight) == 1:
            return
        if now - run.began > self.patience:
            self._owner.sandbox_slow(self)
        else:
            self._alarm.set(run.began + 2 * self.patience)

    def _due(self, at: float, now: float, verdict: KillReason | None) -> bool:
        """Kill the tree if it is time; else come back when it is."""
        if now < at:
            self._alarm.set(at)
            return False
        self.doom(verdict)
        return True

    # The end

    def tree_gone(self) -> None:
        """Report what is left, once nothing of the tree is."""
        self.channel.deafen()
        self.state = SandboxState.DYING
        if self.tree.error is not None:
            self.boot_error = f"it could not be started: {self.tree.error}"
        if self.harness_pid:
            self._read_last_frames()
        self.state = SandboxState.GONE
        if self._began is not None:
            self._write_network(self._began, self.network.take())
            self.pipes.drain(self._began, Truncation.AT_LIMIT)
        at = self._clock()
        while self.inflight:
            run = self.inflight.popleft()
            began = run.began_at is not None or run.cancelled
            outcome = self._last_outcome(run, at) if began else run.unstarted(at)
            self._owner.run_ended(self, run, outcome, 0)
        self._close()
        self._owner.sandbox_gone(self)

    def _last_outcome(self, run: RunningJob, at: datetime) -> AttemptOutcome:
        if run.cancelled:
            return run.ended_by_cancel(at)
        if self._verdict is not None:
            return run.failed(at, self._verdict.code, self._verdict.message)
        if self.confinement.out_of_memory():
            return run.failed(at, ErrorCode.OUT_OF_MEMORY, self._memory_message(run))
        if any(words in self.pipes.last_words for words in HEAP_EXHAUSTED):
            return run.failed(at, ErrorCode.OUT_OF_MEMORY, self._memory_message(run))
        if self.tree.killed:
            return run.failed(at, ErrorCode.EXECUTOR_LOST, "The sandbox was thrown away while the job ran")
        return run.failed(at, ErrorCode.HANDLER_ERROR, describe_status(self.tree.status))

    def _memory_message(self, run: RunningJob) -> str:
        return f"The worker used more than its {run.assignment.code.memory_mb} MiB of memory"

    def abandon(self) -> None:
        """Close what is open of a sandbox that could not be started."""
        self.state = SandboxState.GONE
        self._close()

    def _close(self) -> None:
        self._alarm.cancel()
        self._drop_artefact()
        self.channel.close()
        self.network.close()
        self.pipes.close()
        if self._harness_fd >= 0:
            os.close(self._harness_fd)
            self._harness_fd = -1
