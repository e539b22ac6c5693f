"""What one sandbox has of the host: processes, limits, uid, folders, network."""

import contextlib
import os
import signal
from datetime import datetime
from enum import IntEnum
from typing import Final

from runwright.core.job_state import ErrorCode
from runwright.egress import SandboxNetwork
from runwright.runtimes import protocol
from runwright.runtimes.frame_socket import FrameSocket
from runwright.runtimes.model import AttemptOutcome, WorkerCode
from runwright.runtimes.pool.running_job import KillReason, RunningJob
from runwright.runtimes.pool.stdio import Stdio
from runwright.runtimes.protocol import FrameKind
from runwright.runtimes.wasm_modules import CompiledModule
from runwright.sandbox.cpu_affinity import CpuShare
from runwright.sandbox.leftovers import HarnessThreads
from runwright.sandbox.process_tree import ProcessTree
from runwright.sandbox.resource_limits import ResourceLimits

COMPILE_SECONDS: Final = 60.0
"""Time to compile a module, in addition to the timeout of its first job."""
RUNNING_THREADS: Final = "running threads"
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
        self._threads: HarnessThreads | None = None
        self.resting = False
        """Whether the harness is stopped, because no job runs."""
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

    def settle(self) -> None:
        """Record what there is after boot, before any user code runs."""
        self.limits.settle(self.harness_pid)
        self._threads = HarnessThreads(self.harness_pid)

    def job_ended(self) -> str | None:
        """Return what jobs have left, if the sandbox must not be used again; `rest` looks at it once more."""
        unchanged = self.limits.unchanged()
        if self._threads is not None:
            self._threads.job_ended(none_left=unchanged)
        return None if unchanged else self.limits.leftovers()

    def rest(self) -> str | None:
        """Stop the harness until `wake`; return why the sandbox must not be used again, if it must not.

        A sandbox without a job has no process with user code but the harness, and a process that is being
        stopped does not fork: what there is afterwards is all that there is.
        """
        if self._threads is not None and self._threads.are_busy():
            return RUNNING_THREADS
        self._signal(signal.SIGSTOP)
        self.resting = True
        return self.limits.leftovers()

    def wake(self) -> None:
        """Let the harness continue, if it rests."""
        if self.resting:
            self.resting = False
            self._signal(signal.SIGCONT)

    def bind(self, code: WorkerCode, overhead_mb: int, module: CompiledModule | None) -> None:
        """Bind to this code, with its network policy and its limits; OSError if these cannot be set."""
        self.code = code
        self.module = module
        if self.network is not None:
            self.network.serve(code.network)
        self.limits.limit_memory((code.memory_mb + overhead_mb) * 1024 * 1024)
        if code.max_processes is not None:
            self.limits.limit_tasks(code.max_processes)

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
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._harness_fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._harness_fd, number)

    def timeout_reason(self, job: RunningJob) -> KillReason:
        """Return why a job that has run for too long is killed."""
        limit = job.assignment.timeout_seconds
        if self.module is None:
            text = f"The handler did not end within {limit:g} seconds"
        else:
            text = f"The module was not compiled within {COMPILE_SECONDS + limit:g} seconds"
        return KillReason(ErrorCode.TIMEOUT, text)

    def last_outcome(
        self, job: RunningJob, reason: KillReason | None, stdio: Stdio, at: datetime
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
