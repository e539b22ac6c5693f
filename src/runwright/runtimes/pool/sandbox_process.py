"""What one sandbox has of the host: processes, limits, uid, folders, network, stdout and stderr."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import IntEnum
from typing import Final

from runwright.core.clock import Clock
from runwright.core.job_state import ErrorCode
from runwright.egress import SandboxNetwork
from runwright.runtimes import protocol
from runwright.runtimes.model import AttemptOutcome, WorkerCode
from runwright.runtimes.pool.running_job import KillReason, RunningJob
from runwright.runtimes.protocol import FrameKind, FrameSocket
from runwright.runtimes.wasm_modules import CompiledModule
from runwright.sandbox.cpu_affinity import CpuShare
from runwright.sandbox.process_tree import ProcessTree
from runwright.sandbox.resource_limits import ResourceLimits
from runwright.secrets.masking import Truncation

LogLine = Callable[[str], Awaitable[None] | None]
"""Adds a line to the log of a job; the result completes when the line is received."""

COMPILE_SECONDS: Final = 60.0
"""Time to compile a module, in addition to the timeout of its first job."""
READ_BYTES: Final = 64 * 1024
DRAIN_READS: Final = 64
HEAP_EXHAUSTED: Final = (b"JavaScript heap out of memory", b"Fatal JavaScript out of memory")
"""What node and deno print before they abort at their heap limit, which is below the sandbox's."""
_PAUSE_SECONDS: Final = 0.02
_BOOT_CHARS: Final = 2000
_STDERR_TAIL_BYTES: Final = 4096
_SIGNAL_STATUS: Final = 128


class SandboxState(IntEnum):
    """The state of a sandbox."""

    BOOTING = 1
    IDLE = 2
    BUSY = 3
    DYING = 4
    GONE = 5


class SandboxProcess:
    """The processes of one sandbox and the host resources they use, from preparation to release."""

    tree: ProcessTree
    network: SandboxNetwork | None
    """The way to the network; None where sandboxes have no network."""

    def __init__(
        self,
        runtime: str,
        *,
        memory_mb: int,
        uid: int,
        limits: ResourceLimits,
        mounted_code: WorkerCode | None,
        held_folders: list[int],
        wrapped: bool,
        cpu_share: CpuShare,
    ) -> None:
        self.runtime = runtime
        self.memory_mb = memory_mb
        self.uid = uid
        self.limits = limits
        self.mounted_code = mounted_code
        """The code whose folders are mounted, if any are."""
        self.held_folders = held_folders
        self.wrapped = wrapped
        """Whether bwrap mounts the folders of the code, else they are where the host has them."""
        self.cpu_share = cpu_share
        self.network = None
        self.folder: str | None = None
        """The working directory on the host, without bwrap."""
        self.harness_pid = 0
        self._harness_fd = -1
        self.code: WorkerCode | None = None
        """The code that the sandbox is bound to."""
        self.code_sent = False
        self.module: CompiledModule | None = None
        """The compiled module, or an empty file for it, until it is sent or filled."""

    def identify(self, sender: tuple[int, int] | None) -> str:
        """Take the pid and uid of the harness from its READY message; return what is wrong, or nothing."""
        if sender is None:
            return "the harness did not report that it is ready"
        self.harness_pid, uid = sender
        if self.uid and uid != self.uid:
            return f"the harness runs as uid {uid}, not {self.uid}"
        try:
            self._harness_fd = os.pidfd_open(self.harness_pid)
        except ProcessLookupError:
            return "the harness ended while it booted"
        return ""

    def bind(self, code: WorkerCode, overhead_mb: int, module: CompiledModule | None) -> None:
        """Bind to this code, with its network policy and memory limit; OSError if that cannot be set."""
        self.code = code
        self.module = module
        if self.network is not None:
            self.network.serve(code.network)
        self.limits.limit_memory((code.memory_mb + overhead_mb) * 1024 * 1024)

    def send_code(self, socket: FrameSocket) -> None:
        """Send the code that the sandbox is bound to."""
        self.code_sent = True
        if self.code is None:
            return
        module = self.module
        compiled = module is not None and module.compiled
        payload = protocol.load_payload(self.code, mounted=self.wrapped, compiled=compiled)
        messages = protocol.messages(FrameKind.LOAD, payload)
        if module is None:
            socket.send(messages)
            return
        socket.send_with_file(messages, module.fd)
        if compiled:
            self._close_module()

    def store_module(self, job: RunningJob) -> str | None:
        """Store the module that was just compiled; return how that breaks the protocol, or None.

        Nothing of the module has run yet if this is the first frame of the first job.
        """
        module, self.module = self.module, None
        if module is None or job.frames:
            if module is not None:
                module.close()
            return "it compiled what it was not given"
        module.store()
        return None

    def terminate(self) -> None:
        """Send SIGTERM to the harness."""
        if self._harness_fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._harness_fd, signal.SIGTERM)

    def timeout_reason(self, job: RunningJob) -> KillReason:
        """Return why a job that has run for too long is killed."""
        limit = job.assignment.timeout_seconds
        if self.module is None:
            text = f"The handler did not end within {limit:g} seconds"
        else:
            text = f"The module was not compiled within {COMPILE_SECONDS + limit:g} seconds"
        return KillReason(ErrorCode.TIMEOUT, text)

    def last_outcome(
        self, job: RunningJob, reason: KillReason | None, stdio: "Stdio", at: datetime
    ) -> AttemptOutcome:
        """Return the outcome of a job that was in flight when the process tree ended."""
        if job.cancelled:
            return job.ended_by_cancel(at)
        if job.started_at is None:
            return job.unstarted(at)
        if reason is not None:
            return job.failed(at, reason.code, reason.message)
        if stdio.heap_exhausted or self.limits.out_of_memory():
            return job.out_of_memory(at)
        if self.tree.killed:
            return job.failed(at, ErrorCode.EXECUTOR_LOST, "The sandbox was discarded while the job ran")
        return job.failed(at, ErrorCode.HANDLER_ERROR, _describe_status(self.tree.status))

    def close(self) -> None:
        """Close the network, the module and the harness's pidfd; calling it twice is safe."""
        self._close_module()
        if self.network is not None:
            self.network.close()
        if self._harness_fd >= 0:
            os.close(self._harness_fd)
            self._harness_fd = -1

    def _close_module(self) -> None:
        if self.module is not None:
            self.module.close()
            self.module = None


class NetworkLog:
    """Lines about refused connections, for the log of the job that made them.

    Other jobs may wait behind that job in the sandbox's socket, and frames arrive by another way than these
    lines. So egress delays the refused connection until the executor has received the line: by then the
    executor has read every frame that was sent before, and the job that waits for the connection is the
    one that runs.
    """

    __slots__ = ("_lines", "_loop", "_received", "early")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, received: Callable[[], None]) -> None:
        self._loop = loop
        self._received = received
        self._lines: deque[str] = deque()
        self.early: list[str] = []
        """Lines for the job that is about to start: its code is being loaded."""

    def deliver(self, job: RunningJob | None, *, at: datetime, starting: bool) -> None:
        """Write the lines to the log of the running job, or keep them for the job that is starting."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if job is not None:
            _write(job, lines, at)
        elif starting:
            self.early += lines

    def deliver_early(self, job: RunningJob, at: datetime) -> None:
        """Write the lines that were kept for the job that has just started."""
        lines, self.early = self.early, []
        _write(job, lines, at)

    def add(self, line: str) -> Awaitable[None] | None:
        """Add a line, in the egress thread; the result completes when the executor has received it."""
        self._lines.append(line)
        egress_loop = asyncio.get_running_loop()
        received = egress_loop.create_future()
        try:
            self._loop.call_soon_threadsafe(self._receive, egress_loop, received)
        except RuntimeError:  # the executor's loop has ended
            return None
        return received

    def _receive(self, egress_loop: asyncio.AbstractEventLoop, received: asyncio.Future[None]) -> None:
        self._received()
        with contextlib.suppress(RuntimeError):  # the egress loop has ended
            egress_loop.call_soon_threadsafe(_resolve, received)


def _write(job: RunningJob, lines: list[str], at: datetime) -> None:
    for line in lines:
        job.write(at, "warn", line.encode())


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Stdio:
    """A sandbox's raw stdout and stderr: what subprocesses and C code write past the harness.

    What arrives belongs to the job that is `current`.
    """

    __slots__ = (
        "_catch_up",
        "_clock",
        "_fds",
        "_loop",
        "_partial",
        "boot_text",
        "booting",
        "current",
        "stderr_tail",
        "unfinished",
        "used",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, *, catch_up: Callable[[], bool]
    ) -> None:
        """`catch_up` reads the frames that have arrived, so that `current` is the job that wrote the output.

        It returns whether a job is about to start: output is then read after that frame.
        """
        self._loop = loop
        self._catch_up = catch_up
        self._clock = clock
        self._fds = [-1, -1]
        self._partial = [b"", b""]
        self.current: RunningJob | None = None
        self.booting = True
        self.boot_text = ""
        self.used = False
        self.unfinished = False
        """Whether a line has begun that no newline has ended."""
        self.stderr_tail = b""

    def open(self) -> tuple[int, int]:
        """Open both pipes and return the ends to write to, which the caller closes."""
        writers = []
        for stream in (0, 1):
            self._fds[stream], writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._fds[stream], False)
            self._loop.add_reader(self._fds[stream], self._readable, stream)
            writers.append(writer)
        return writers[0], writers[1]

    @property
    def heap_exhausted(self) -> bool:
        """Whether a JavaScript runtime aborted at its heap limit."""
        return any(text in self.stderr_tail for text in HEAP_EXHAUSTED)

    def drain(self, job: RunningJob, truncation: Truncation = Truncation.MID_LINE) -> None:
        """Read what an ended job has written, with a bound on the number of reads."""
        for stream in (0, 1):
            reads = DRAIN_READS
            while reads and self._read(stream, job):
                reads -= 1
        self.end_lines(job, truncation)

    def end_lines(self, job: RunningJob, truncation: Truncation = Truncation.MID_LINE) -> None:
        """Write the unfinished lines of a job; what is left in the pipes may belong to the next one."""
        at = self._clock()
        for stream in (0, 1):
            if self._partial[stream]:
                job.write(at, protocol.LEVELS[2 * stream], self._partial[stream], truncation)
                self._partial[stream] = b""
        self.unfinished = False

    def close(self) -> None:
        """Close both pipes."""
        for stream in (0, 1):
            self._close(stream)

    def _readable(self, stream: int) -> None:
        if not self.booting and self._catch_up():
            return
        job = self.current
        if self._read(stream, job) and job is not None and job.log_is_full():
            self._loop.remove_reader(self._fds[stream])
            self._loop.call_later(_PAUSE_SECONDS, self._resume, stream, self._fds[stream])

    def _resume(self, stream: int, fd: int) -> None:
        if self._fds[stream] == fd:
            self._loop.add_reader(fd, self._readable, stream)

    def _read(self, stream: int, job: RunningJob | None) -> bool:
        """Read once; return False when nothing is there."""
        fd = self._fds[stream]
        if fd < 0:
            return False
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close(stream)
        elif self.booting:
            self.boot_text = (self.boot_text + data.decode("utf-8", "replace"))[-_BOOT_CHARS:]
        elif job is not None:
            self.used = True
            self._write(stream, job, data)
        return bool(data)

    def _write(self, stream: int, job: RunningJob, data: bytes) -> None:
        if stream:
            self.stderr_tail = (self.stderr_tail + data)[-_STDERR_TAIL_BYTES:]
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            job.write(self._clock(), protocol.LEVELS[2 * stream], self._partial[stream] + head)
            self._partial[stream] = b""
        if len(self._partial[stream]) <= protocol.LINE_BYTES:
            self._partial[stream] += tail[: protocol.LINE_BYTES + 1]
        self.unfinished = bool(self._partial[0] or self._partial[1])

    def _close(self, stream: int) -> None:
        if self._fds[stream] >= 0:
            self._loop.remove_reader(self._fds[stream])
            os.close(self._fds[stream])
            self._fds[stream] = -1


def _describe_status(status: int | None) -> str:
    """Return how a process ended, for the person whose code it ran."""
    if status is None:
        return "The worker's process ended before it answered"
    number = -status if status < 0 else status - _SIGNAL_STATUS if status > _SIGNAL_STATUS else 0
    if not number:
        return f"The worker's process exited with status {status} before it answered"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"The worker's process was ended by {name} before it answered"
