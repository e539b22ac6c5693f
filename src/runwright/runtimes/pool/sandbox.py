"""One sandbox: its state, and the jobs in flight inside it.

```
  BOOTING ──READY──▶ IDLE ◀──────▶ BUSY          (pre-booted until its first job, then bound to one key)
     └───────────────┴──────────────┴──▶ DYING ──▶ GONE
```

Invariants
- `in_flight` is in the order sent; only its head can have started; every job leaves it exactly once,
  with an outcome or by `recall` (never started: it was still in the socket).
- A job ends by its own frame while BUSY, or at GONE. A kill reason (timeout, violation, lost lease) or a
  cancel is recorded, the process tree is killed, and the outcome is reported once the tree is gone.
- Jobs that had not started when the sandbox dies end UNSTARTED.
- User code runs only while a job does: `REST_SECONDS` after the last one the harness is stopped, until the
  next one. A process that a job left running, or a frame between jobs, ends the sandbox.

Failures: if the tree dies without a kill reason, the running job fails as `out_of_memory` if the kernel
reports that, else as `handler_error` with the exit status. A frame that breaks the protocol is a kill
reason. A sandbox that does not boot in time, or start a job within `BEGIN_SECONDS`, is killed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from runwright.core.clock import Clock
from runwright.core.job_state import ErrorCode
from runwright.runtimes import protocol
from runwright.runtimes.frame_socket import FrameSocket
from runwright.runtimes.model import WorkerCode
from runwright.runtimes.pool.deadline_timer import DeadlineTimer
from runwright.runtimes.pool.error_report import read_report
from runwright.runtimes.pool.network_log import LogLine, NetworkLog
from runwright.runtimes.pool.running_job import (
    KillReason,
    RunningJob,
)
from runwright.runtimes.pool.sandbox_owner import SandboxOwner
from runwright.runtimes.pool.sandbox_process import COMPILE_SECONDS, SandboxProcess, SandboxState
from runwright.runtimes.pool.stdio import Stdio
from runwright.runtimes.protocol import FrameKind
from runwright.runtimes.wasm_modules import CompiledModule
from runwright.secrets.masking import Truncation

BEGIN_SECONDS: Final = 15.0
REST_SECONDS: Final = 0.02
"""How long an idle sandbox runs on, so that jobs in quick succession need not wake it."""
_ERROR: Final = int(FrameKind.ERROR)
_NOT_GIVEN: Final = "it began a job that it was not given"
Start = Callable[[SandboxProcess, Stdio, int, Callable[[], None], LogLine], None]


class Sandbox:
    """One sandbox from its launch until it is gone."""

    def __init__(
        self,
        process: SandboxProcess,
        *,
        owner: SandboxOwner["Sandbox"],
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        fast_seconds: float,
    ) -> None:
        """`fast_seconds`: how long a job may run before the jobs behind it are moved elsewhere."""
        self.process = process
        self.runtime = process.runtime
        self.state = SandboxState.BOOTING
        self.code: WorkerCode | None = None
        self.in_flight: deque[RunningJob] = deque()
        self.tainted: str | None = None
        """Why the sandbox must not be reused."""
        self.retiring, self.jobs_done = False, 0
        self.created = self.idle_since = loop.time()
        self.boot_error = ""
        self.stdio = Stdio(loop, clock, catch_up=self._about_to_start, on_stray=self._spoke_outside)
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._fast_seconds = fast_seconds
        self._network_log = NetworkLog(loop, received=self._receive_network_lines)
        self._socket = FrameSocket(loop, self)
        self._running: RunningJob | None = None
        self._warm = self._sending_parts = self._reading = False
        self._kill_reason: KillReason | None = None
        self._timer = DeadlineTimer(loop, self._check_deadlines)
        self._due_at = self._grace_ends = 0.0
        process.limits.watch(self._limit_exceeded)

    def launch(self, start: Start, boot_seconds: float) -> None:
        """Start the processes with `start`, which is `Launcher.start`; OSError if it fails."""
        socket = self._socket.far.fileno()
        start(self.process, self.stdio, socket, self._tree_gone, self._network_log.add)
        self._socket.listen(self._read_ready)
        self._expect_within(boot_seconds)

    def _read_ready(self) -> None:
        self.boot_error = self.process.identify(self._socket.receive_ready())
        if self.boot_error:
            self.kill(None)
            return
        self._socket.listen(self._read_frames)
        self.stdio.booting = False
        self.process.settle()
        self.state = SandboxState.BUSY if self.in_flight else SandboxState.IDLE
        self.idle_since = self._loop.time()
        if self.in_flight:
            self._expect_within(BEGIN_SECONDS)
            self._send(self.in_flight[0])
        self._owner.sandbox_ready(self)

    def bind(self, code: WorkerCode, overhead_mb: int, module: CompiledModule | None = None) -> None:
        """Bind the sandbox to this code, its memory limit and its network policy, for good."""
        self.code = code
        try:
            self.process.bind(code, overhead_mb, module)
        except OSError:
            self.boot_error = "its limits could not be set"
            self.kill(None)

    def kill(self, reason: KillReason | None) -> None:
        """Kill the process tree; the running job ends with the reason once the tree is gone."""
        if self.state >= SandboxState.DYING:
            return
        self._socket.stop_listening()
        if not self.stdio.booting:
            self.stdio.stop()
        self.state = SandboxState.DYING
        self._kill_reason = reason
        self.process.tree.kill()

    def _tree_gone(self) -> None:
        """Report the remaining outcomes, now that no process is left."""
        self._socket.stop_listening()
        self.state = SandboxState.DYING
        if self.process.tree.error is not None:
            self.boot_error = f"it could not be started: {self.process.tree.error}"
        if self.process.harness_pid:
            self._socket.read_rest(self._clock(), self._loop.time())
        at = self._clock()
        if self._running is not None:
            self._network_log.deliver(self._running, at=at, starting=False)
            self.stdio.drain(self._running)
            self._running.end_lines(Truncation.AT_LIMIT)
        while self.in_flight:
            job = self.in_flight.popleft()
            outcome = self.process.last_outcome(job, self._kill_reason, self.stdio, at)
            self._owner.job_ended(self, job, outcome, 0)
        self.close()
        self._owner.sandbox_gone(self)

    def close(self) -> None:
        """Close all descriptors; for a sandbox that is gone or could not be started."""
        self.state = SandboxState.GONE
        self._timer.cancel()
        self._socket.close()
        self.process.close()
        self.stdio.close()

    def _limit_exceeded(self, what: str | None) -> None:
        self.kill(KillReason(ErrorCode.HANDLER_ERROR, f"The worker used {what}") if what else None)

    def connection_lost(self) -> None:
        """Kill the process tree: nothing can be sent to it any more."""
        self.kill(KillReason(ErrorCode.HANDLER_ERROR, "The worker closed its connection"))

    # Jobs in

    @property
    def may_queue(self) -> bool:
        """Whether a job may wait behind the one in flight.

        Not before the first job began (the code is still being sent), and not behind large input that is
        still being sent: so `recall` finds whole small messages only. Not behind a job that makes requests.
        """
        busy = self._warm and self.state is SandboxState.BUSY
        asked = self._running is not None and self._running.asked
        return busy and not (self._sending_parts or self.retiring or self.tainted or asked)

    def running_for(self, now: float) -> float:
        """Return for how many seconds the current job has been running."""
        return now - self._running.started if self._running is not None else 0.0

    def load(self) -> None:
        """Send the code ahead of the first job."""
        if self.state is SandboxState.IDLE and not self.process.code_sent:
            self.process.send_code(self._socket)

    def submit(self, job: RunningJob) -> None:
        """Send a job; it waits inside the socket while another one runs."""
        self.in_flight.append(job)
        if self.state is SandboxState.BOOTING or self.state >= SandboxState.DYING:
            return
        if self.state is SandboxState.IDLE:
            self.process.wake()
            self.state = SandboxState.BUSY
            self._expect_within(BEGIN_SECONDS)
        elif len(self.in_flight) == 2:  # noqa: PLR2004
            self._timer.set(self._loop.time() + 2 * self._fast_seconds)
        self._send(job)

    def recall(self) -> list[RunningJob]:
        """Take back the jobs that the sandbox has not received yet, and return them in order."""
        if self.state is SandboxState.BOOTING:
            recalled = list(self.in_flight)
            self.in_flight.clear()
            return recalled
        asking = self._running if self._running is not None and self._running.asking else None
        if not asking and (not self._warm or self._sending_parts):
            return []
        ids = set() if self._sending_parts else self._socket.recall()
        if asking:  # the harness discards what it receives before the answer
            ids, self._sending_parts = {job.id for job in self.in_flight if job is not asking}, False
        recalled = [job for job in self.in_flight if job.id in ids]
        self.in_flight = deque(job for job in self.in_flight if job.id not in ids)
        if not self.in_flight and self.state is SandboxState.BUSY:
            self._become_idle(self._loop.time())
        return recalled

    def catch_up(self) -> None:
        """Read the frames that have arrived already; after `recall` no further job can start."""
        if self.state is SandboxState.BUSY and not self._reading:
            self._read_frames()

    def cancel(self, job: RunningJob, grace_seconds: float) -> None:
        """Ask the running job to stop, and kill the process tree after the grace period."""
        if job.cancelled:
            return
        job.cancelled = True
        ended = self._warm and not self._sending_parts and not job.asking
        if job is self.in_flight[0] and len(self.in_flight) > 1 and ended:
            # Unreceived jobs were recalled, and the next job was not among them: this one has ended and its
            # frame is on the way. A signal would hit the next job, which was not cancelled.
            job.ended_before_cancel = True
            return
        self.tainted = "cancelled"
        self._grace_ends = self._loop.time() + grace_seconds
        if self._running is not None:
            self._due_at = self._grace_ends
        self._timer.set(self._grace_ends)
        self.process.terminate()

    def _send(self, job: RunningJob) -> None:
        if not self.process.code_sent:
            self.process.send_code(self._socket)
        messages = job.messages()
        self._sending_parts = len(messages) > 1
        self._socket.send(messages)

    # Frames out of the sandbox

    def _about_to_start(self) -> bool:
        """Read the frames that have arrived; return whether the next frame starts a job."""
        self.catch_up()
        return self.state is SandboxState.BUSY and self._running is None

    def _read_frames(self) -> None:
        now = self._loop.time()
        self._reading = True
        violation = self._socket.read(self._clock(), now, self._expects_frames)
        self._reading = False
        if violation is not None and self.state is SandboxState.IDLE:
            self._spoke_outside()
        elif violation is not None:
            text = f"The worker broke the protocol: {violation}"
            self.kill(KillReason(ErrorCode.HANDLER_ERROR, text))
        if not self.in_flight and self.state is SandboxState.BUSY:
            self._become_idle(now)
            self._owner.sandbox_idle(self)

    def _expects_frames(self) -> bool:
        return bool(self.in_flight) and self.state is SandboxState.BUSY

    def _become_idle(self, now: float) -> None:
        self.state, self.idle_since = SandboxState.IDLE, now
        if self._warm:
            self.tainted = self.tainted or self.process.job_ended()
            self._expect_within(REST_SECONDS)

    def _spoke_outside(self) -> None:
        self._owner.sandbox_unusable(self, "output outside of a job")

    def handle_began(self, assignment_id: int, at: datetime, now: float) -> str | None:
        """Record that the oldest job in flight has started; see `FrameHandler`."""
        if self.state >= SandboxState.DYING:
            return self._note_started(assignment_id, at)
        if self._running is not None or not self.in_flight or self.in_flight[0].id != assignment_id:
            return _NOT_GIVEN
        job = self._running = self._socket.running = self.stdio.current = self.in_flight[0]
        self._warm, self._sending_parts = True, False
        job.started_at, job.started = at, now
        seconds = job.assignment.timeout_seconds + (COMPILE_SECONDS if self.process.module else 0.0)
        self._due_at = self._grace_ends if job.cancelled else now + seconds
        self._timer.set(self._due_at)
        self._owner.job_started(job, at)
        if self._network_log.early:
            self._network_log.deliver_early(job, at)
        return None

    def _note_started(self, assignment_id: int, at: datetime) -> str | None:
        """Record that a job started in a tree that is being killed, so that it does not end unstarted."""
        for job in self.in_flight:
            if job.id == assignment_id and job.started_at is None:
                job.started_at = at
                self._owner.job_started(job, at)
                return None
        return _NOT_GIVEN

    def _receive_network_lines(self) -> None:
        self.catch_up()
        self._network_log.deliver(self._running, at=self._clock(), starting=bool(self.in_flight))

    def handle_compiled(self) -> str | None:
        """Store the compiled module and start the time of its first job; see `FrameHandler`."""
        job = self.in_flight[0]
        violation = self.process.store_module(job)
        if violation is None:
            self._expect_within(job.assignment.timeout_seconds)
        return violation

    def handle_request(self, payload: bytes) -> str | None:
        """Pass on what the running job asks for; see `FrameHandler`."""
        if self.state >= SandboxState.DYING or self._running is None:
            return None
        violation = self._running.calls.take_request(payload, partial(self._send_answer, self._running))
        if violation is None and len(self.in_flight) > 1:
            self._owner.sandbox_blocked(
                self
            )  # before the answer: what waits behind the job is discarded there
        return violation

    def _send_answer(self, job: RunningJob, message: bytes) -> None:
        if job is self._running and self.state is SandboxState.BUSY:
            job.calls.asking = False
            self._socket.send([message])

    def handle_end(self, kind: int, flags: int, micros: int, payload: bytes, at: datetime) -> str | None:
        """Report the outcome of the running job; see `FrameHandler`."""
        job = self.in_flight[0]
        if self._kill_reason is not None:
            return None
        report = read_report(payload) if kind == _ERROR else None
        if isinstance(report, str):
            return report
        if flags & protocol.RAW_PENDING:
            self.stdio.drain(job)
        job.end_lines()
        if job.cancelled and not job.ended_before_cancel:
            self.kill(None)
            return None
        if flags & protocol.WORN:
            self.tainted = "worn"
        out_of_memory = report is not None and self.process.limits.out_of_memory()
        if report is not None:
            self.tainted = report.taint(out_of_memory=out_of_memory) or self.tainted
        outcome = job.reported(report, payload, at, out_of_memory=out_of_memory)
        self.in_flight.popleft()
        self._socket.job_ended(job)
        self._running = self.stdio.current = None
        self.jobs_done += 1
        self._owner.job_ended(self, job, outcome, micros)
        if self.in_flight:
            self._expect_within(BEGIN_SECONDS)
            if self.tainted is not None:
                self._owner.sandbox_blocked(self)
        return None

    # Deadlines

    def _expect_within(self, seconds: float) -> None:
        self._due_at = self._loop.time() + seconds
        self._timer.set(self._due_at)

    def _check_deadlines(self) -> None:
        if self.state >= SandboxState.DYING:
            return
        now, job = self._loop.time(), self._running
        if self.state is SandboxState.IDLE and (self.process.resting or not self._warm):
            return
        if now >= self._due_at:
            self._overdue(job)
            return
        self._timer.set(self._due_at)
        if job is not None and not job.cancelled and len(self.in_flight) > 1:
            if now - job.started > self._fast_seconds:
                self._owner.sandbox_blocked(self)
            else:
                self._timer.set(job.started + 2 * self._fast_seconds)

    def _overdue(self, job: RunningJob | None) -> None:
        if self.state is SandboxState.IDLE:
            if left := self.process.rest():
                self._owner.sandbox_unusable(self, left)
            return
        if self.state is SandboxState.BOOTING:
            self.boot_error = self.boot_error or "it did not boot in time"
        self.kill(None if job is None or job.cancelled else self.process.timeout_reason(job))
