"""Run an installation in a sandbox that is used once: a build plan goes in, a tar comes out.

    started ──▶ plan sent ──▶ commands run ──▶ tar streamed ──▶ gone
       └────────────┴───────────────┴─ timeout, memory, cancel ──▶ killed ──▶ gone

Invariants
- The sandbox has the isolation of a worker's (namespaces, uid, filter, limits), one writable folder of
  bounded size, and a network that reaches its registry only. It contains no secret and nothing of the
  server's environment.
- `run` returns or raises only after every process of the sandbox is confirmed gone.
- The size of the result is bounded here, whatever the sandbox sends.

Failures: `InstallError` is the tenant's (a command failed, a limit was exceeded); `BuildSandboxError`
is the host's, and another try may succeed.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import IO, Final

import msgspec

from runwright.builds.build_plan import BUILD_FOLDER, BuildPlan
from runwright.builds.errors import BuildSandboxError, InstallError
from runwright.builds.log import BuildLog, failure_reason
from runwright.builds.registries import Registry
from runwright.core.hostnames import parse_trusted
from runwright.egress import Egress, Resolve, SandboxNetwork, allow_only
from runwright.runtimes.harness_command import HARNESS_INSIDE, interpreter_mounts
from runwright.runtimes.host import Host
from runwright.sandbox.bubblewrap import TEMPORARY, Bubblewrap, MemoryFolder, bind_read_only
from runwright.sandbox.cgroups import Cgroups, open_cgroups
from runwright.sandbox.kernel_objects import KernelObjectWatch
from runwright.sandbox.process_tree import Launch, ProcessTree
from runwright.sandbox.resource_limits import CgroupLimits, ResourceLimits, WatchedLimits, set_rlimits
from runwright.sandbox.seccomp import filter_program
from runwright.sandbox.spawn import SOCKET_FD
from runwright.sandbox.user_ids import UserIds

MAX_TASKS: Final = 512
"""Processes and threads; package managers have a thread or more per core of the host."""
_COPY_BYTES: Final = 256 * 1024
_TAR_OVERHEAD: Final = 128 * 1024 * 1024
_COMMAND_FAILED: Final = 71
"""The exit status of `harness/build_harness.py` when a command failed."""
_MIB: Final = 1024 * 1024
_REMOVE_TRIES: Final = 100
_REMOVE_SECONDS: Final = 0.05


class BuildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one installation may use."""

    seconds: float = 300.0
    memory_mb: int = 1024
    disk_mb: int = 512


class BuildSandbox:
    """Runs installations in sandboxes on this host."""

    def __init__(self, *, host: Host, limits: BuildLimits, resolve: Resolve | None = None) -> None:
        self._host = host
        self._limits = limits
        self._resolve = resolve
        self._uids = UserIds()
        self._cgroups: Cgroups | None = None
        self._filter = -1
        self._kernel_objects = KernelObjectWatch()
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="runwright-builds")

    def open(self) -> None:
        """Make the cgroup and the filter that all build sandboxes share."""
        self._uids.open()
        if self._host.cgroup_version:
            self._cgroups = open_cgroups()
        program = filter_program() if self._host.seccomp else None
        if program is not None:
            self._filter = os.memfd_create("seccomp", os.MFD_CLOEXEC)
            os.write(self._filter, program)

    def close(self) -> None:
        """Release what `open` made; no installation may be running."""
        self._starter.shutdown()
        self._uids.close()
        self._kernel_objects.stop()
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None
        if self._filter >= 0:
            os.close(self._filter)
            self._filter = -1

    async def run(
        self, plan: BuildPlan, *, mounts: dict[str, str], registry: Registry, result: IO[bytes], log: BuildLog
    ) -> None:
        """Execute a plan; its result is in `result` when this returns."""
        with self._uid() as uid, self._network(registry, log) as network:
            limits = self._resource_limits(uid)
            run = _Run(self._limits, log, limits, self._starter, watched=self._cgroups is None)
            try:
                run.start(self._command(uid, mounts), network, self._filter, uid)
                await run.finish(msgspec.json.encode(plan), result)
            finally:
                await _remove(limits)

    @contextlib.contextmanager
    def _network(self, registry: Registry, log: BuildLog) -> Iterator[SandboxNetwork]:
        """Open a network that reaches the registry; the operator's own hosts may have private addresses."""
        hosts = (*registry.hosts, *registry.public_hosts)
        trusted = [parse_trusted(str(host)) for host in registry.hosts]
        loop = asyncio.get_running_loop()
        egress = Egress(ports={host.port for host in hosts}, trusted=trusted, resolve=self._resolve)

        def log_line(line: str) -> None:
            loop.call_soon_threadsafe(log.note, line)

        egress.start()
        try:
            network = egress.open(log_line)
            try:
                network.set_policy(allow_only([host.name for host in hosts], trusted))
                yield network
            finally:
                network.close()
        finally:
            egress.stop()

    def _command(self, uid: int, mounts: dict[str, str]) -> list[str]:
        python = self._host.interpreters["python"]
        harness = f"{HARNESS_INSIDE}/build_harness.py"
        bubblewrap = Bubblewrap(
            path=self._host.bwrap or "",
            user_namespace=self._host.user_namespace,
            seccomp=self._filter >= 0,
        )
        harness_uid = "0" if bubblewrap.drops_uid else str(uid)
        options = interpreter_mounts(python)
        for inside, outside in sorted(mounts.items()):
            options += bind_read_only(inside, outside)
        return bubblewrap.command(
            [python.path, *python.flags, harness, str(SOCKET_FD), harness_uid, BUILD_FOLDER],
            environment=python.environment,
            # /tmp is mounted first, because the tools may be below /tmp on the host.
            memory_folders=[
                MemoryFolder(TEMPORARY),
                MemoryFolder(BUILD_FOLDER, self._limits.disk_mb * _MIB, mode="0777"),
            ],
            mounts=options,
            directory=BUILD_FOLDER,
            network=True,
            uid=uid,
        )

    @contextlib.contextmanager
    def _uid(self) -> Iterator[int]:
        """Reserve a uid; 0 where sandboxes have none of their own."""
        if not self._host.first_uid:
            yield 0
            return
        try:
            uid = self._uids.take()
        except OSError as error:
            raise BuildSandboxError(f"no uid is free: {error}") from error
        try:
            yield uid
        finally:
            self._uids.give_back(uid)

    def _resource_limits(self, uid: int) -> ResourceLimits:
        if self._cgroups is not None:
            try:
                return CgroupLimits(self._cgroups.create(pids=MAX_TASKS), self._kernel_objects)
            except OSError as error:
                raise BuildSandboxError(f"no cgroup could be made: {error}") from error
        return WatchedLimits(asyncio.get_running_loop(), uid=uid, max_tasks=MAX_TASKS)


class _Run:
    """One build sandbox, from its start until its confirmed end."""

    def __init__(
        self,
        limits: BuildLimits,
        log: BuildLog,
        resource_limits: ResourceLimits,
        starter: Executor,
        *,
        watched: bool,
    ) -> None:
        self._limits = limits
        self._log = log
        self._resource_limits = resource_limits
        self._watched = watched
        self._gone = asyncio.Event()
        self._near, self._far = socket.socketpair()
        self._out = -1
        self._tree = ProcessTree(
            asyncio.get_running_loop(),
            starter=starter,
            limits=resource_limits,
            set_limits=self._set_limits,
            on_gone=self._gone.set,
        )

    def start(self, argv: list[str], network: SandboxNetwork, program: int, uid: int) -> None:
        """Start the sandbox."""
        self._out, out = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._out, False)
        copy = os.open(f"/proc/self/fd/{program}", os.O_RDONLY | os.O_CLOEXEC) if program >= 0 else None
        launch = Launch(
            argv=argv,
            env={},
            wrapped=True,
            stdout=out,
            stderr=out,
            socket=self._far.fileno(),
            seccomp=copy,
            network=network,
            uid=uid,
        )
        try:
            self._tree.start(launch)
        except OSError as error:
            self._close()
            raise BuildSandboxError(f"the sandbox could not be started: {error}") from error
        finally:
            self._far.close()
            os.close(out)
            if copy is not None:
                os.close(copy)
        self._resource_limits.watch(lambda _: self._tree.kill())
        asyncio.get_running_loop().add_reader(self._out, self._read_output)

    async def finish(self, plan: bytes, result: IO[bytes]) -> None:
        """Send the plan, receive the result, wait for the end of the tree, and raise where it failed."""
        bound = self._limits.disk_mb * _MIB + _TAR_OVERHEAD
        transfer = asyncio.create_task(asyncio.to_thread(_transfer, self._near, plan, result, bound))
        timed_out = False
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._gone.wait()
        except TimeoutError:
            timed_out = True
        finally:
            if not self._tree.gone:
                self._tree.kill()
                await self._gone.wait()
            complete = await transfer
            self._read_output()
            asyncio.get_running_loop().remove_reader(self._out)
            self._close()
        self._raise_failure(timed_out=timed_out, complete=complete)

    def _raise_failure(self, *, timed_out: bool, complete: bool) -> None:
        limits = self._limits
        if self._tree.error is not None:
            raise BuildSandboxError(f"the sandbox could not be started: {self._tree.error}")
        if timed_out:
            raise InstallError(f"The installation took longer than {limits.seconds:g} seconds.")
        if self._resource_limits.out_of_memory():
            raise InstallError(f"The installation needed more than {limits.memory_mb} MB of memory.")
        if not complete:
            raise InstallError("What was installed is too large.")
        if self._tree.status == _COMMAND_FAILED:
            raise InstallError(failure_reason(self._log.text(), disk_mb=limits.disk_mb))
        if self._tree.status != 0:
            last_line = self._log.text().strip().rpartition("\n")[2]
            raise BuildSandboxError(f"the sandbox ended with status {self._tree.status}: {last_line}")

    def _set_limits(self, pid: int) -> None:
        limits = self._limits
        set_rlimits(pid, processes=MAX_TASKS if self._watched else None, file_bytes=limits.disk_mb * _MIB)
        # In a cgroup, files in the writable folder count as memory.
        disk_mb = 0 if self._watched else limits.disk_mb
        self._resource_limits.limit_memory((limits.memory_mb + disk_mb) * _MIB)

    def _read_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._out, _COPY_BYTES):
                self._log.write(data)
                if len(data) < _COPY_BYTES:
                    break

    def _close(self) -> None:
        self._near.close()
        os.close(self._out)


def _transfer(near: socket.socket, plan: bytes, result: IO[bytes], bound: int) -> bool:
    """Send the plan and receive the result until the other end is closed; False where it is too large."""
    near.settimeout(None)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        near.sendall(len(plan).to_bytes(8, "little") + plan)
        while data := near.recv(_COPY_BYTES):
            bound -= len(data)
            if bound < 0:
                near.shutdown(socket.SHUT_RDWR)
                return False
            result.write(data)
    return True


async def _remove(limits: ResourceLimits) -> None:
    for _ in range(_REMOVE_TRIES):
        if limits.remove():
            return
        await asyncio.sleep(_REMOVE_SECONDS)
