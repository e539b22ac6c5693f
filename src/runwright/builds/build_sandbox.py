"""Runs an installer once, in a sandbox that is thrown away: an order goes in, a tar comes out.

    started ──▶ order sent ──▶ commands run ──▶ tar streamed ──▶ gone
       └────────────┴───────────────┴─ timeout, memory, cancel ──▶ killed ──▶ gone

Invariants
- The sandbox has what a worker's has (namespaces, uid, filter, limits), one folder to write in, of
  bounded size, and reaches the places of its order only. There is no secret and nothing of the
  server's environment in it.
- `run` returns or raises when every process of it is confirmed gone, and no sooner.
- What comes out is bounded here, whatever the sandbox says about it; what it means is for the reader.

Failures: `InstallError` is the tenant's (the tool failed, a limit was met), with the reason for
people; `WorkshopError` is the host's, and another try may help.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import IO, Final

import msgspec

from runwright.builds.failure_messages import reason_of
from runwright.builds.log import BuildLog
from runwright.builds.registries import Registry
from runwright.core.hostnames import parse_trusted
from runwright.egress import Egress, Resolve, SandboxNetwork, allow_only
from runwright.runtimes.harness_command import HARNESS_INSIDE, interpreter_mounts
from runwright.runtimes.host import Host
from runwright.sandbox.bubblewrap import TEMPORARY, Bubblewrap, MemoryFolder, bind_read_only
from runwright.sandbox.cgroups import Cgroups, open_cgroups
from runwright.sandbox.process_tree import Launch, ProcessTree
from runwright.sandbox.resource_limits import CgroupLimits, ResourceLimits, WatchedLimits, set_rlimits
from runwright.sandbox.seccomp import filter_program
from runwright.sandbox.spawn import SOCKET_FD

BUILD_FOLDER: Final = "/build"
"""The folder of a build sandbox in which an installation works."""
TASKS: Final = 512
"""Processes and threads; the tools have a thread or more per core of the host."""
_UIDS_FROM: Final = 4096
"""Above the host's first uid; those below belong to the sandboxes of workers."""
_UIDS: Final = 1024
_COPY_BYTES: Final = 256 * 1024
_TAR_OVERHEAD: Final = 128 * 1024 * 1024
_FAILED: Final = 71
"""What `harness/build_harness.py` exits with when a command failed."""
_MIB: Final = 1024 * 1024
_REMOVE_TRIES: Final = 100
_REMOVE_SECONDS: Final = 0.05


class InstallError(Exception):
    """The installation failed, and would again; the message is the reason."""


class BuildSandboxError(Exception):
    """The host could not do it now."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one installation may use."""

    seconds: float = 300.0
    memory_mb: int = 1024
    disk_mb: int = 512


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done inside, all paths as they are there."""

    files: dict[str, str]
    """What to write first."""
    folders: list[str]
    commands: list[list[str]]
    """One after the other, each only when the one before it succeeded."""
    extras: list[list[str]] = []
    """Afterwards; whether they succeed does not matter."""
    env: dict[str, str]
    cwd: str
    result: dict[str, str]
    """The folders that are sent back, by the name that they get."""


class BuildSandbox:
    """Makes the sandboxes of installations on this host."""

    def __init__(self, *, host: Host, limits: Limits, resolve: Resolve | None = None) -> None:
        self._host = host
        self._limits = limits
        self._resolve = resolve
        self._count = 0
        self._cgroups: Cgroups | None = None
        self._filter = -1
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="runwright-workshop")

    def open(self) -> None:
        """Make what all sandboxes share."""
        if self._host.cgroup_version:
            self._cgroups = open_cgroups()
        program = filter_program() if self._host.seccomp else None
        if program is not None:
            self._filter = os.memfd_create("seccomp", os.MFD_CLOEXEC)
            os.write(self._filter, program)

    def close(self) -> None:
        """Leave nothing behind; nothing runs by now."""
        self._starter.shutdown()
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None
        if self._filter >= 0:
            os.close(self._filter)
            self._filter = -1

    async def run(
        self, order: Order, *, mounts: dict[str, str], registry: Registry, result: IO[bytes], log: BuildLog
    ) -> None:
        """Do an order; its result is in `result` when this returns."""
        uid = self._next_uid()
        with self._way_out(registry, log) as door:
            confinement = self._confinement(uid)
            run = _Run(self._limits, log, confinement, self._starter, watched=self._cgroups is None)
            try:
                run.start(self._command(uid, mounts), door, self._filter)
                await run.finish(msgspec.json.encode(order), result)
            finally:
                await _give_back(confinement)

    @contextlib.contextmanager
    def _way_out(self, registry: Registry, log: BuildLog) -> Iterator[SandboxNetwork]:
        """Open a way to the registry; the places that are the operator's own may have any address."""
        places = (*registry.places, *registry.public_places)
        trusted = [parse_trusted(str(place)) for place in registry.places]
        loop = asyncio.get_running_loop()
        egress = Egress(ports={place.port for place in places}, trusted=trusted, resolve=self._resolve)

        def say(line: str) -> None:
            loop.call_soon_threadsafe(log.note, line)

        egress.start()
        try:
            door = egress.open(say)
            try:
                door.set_policy(allow_only([place.host for place in places], trusted))
                yield door
            finally:
                door.close()
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
        options = interpreter_mounts(python)
        for inside, outside in sorted(mounts.items()):
            options += bind_read_only(inside, outside)
        return bubblewrap.command(
            [python.path, *python.flags, harness, str(SOCKET_FD), str(uid), BUILD_FOLDER],
            environment=python.environment,
            # /tmp is mounted first, because the tools may be below /tmp on the host.
            memory_folders=[
                MemoryFolder(TEMPORARY),
                MemoryFolder(BUILD_FOLDER, self._limits.disk_mb * _MIB, mode="0777"),
            ],
            mounts=options,
            directory=BUILD_FOLDER,
            network=True,
        )

    def _next_uid(self) -> int:
        if not self._host.first_uid:
            return 0
        self._count += 1
        return self._host.first_uid + _UIDS_FROM + (os.getpid() * 7 + self._count) % _UIDS

    def _confinement(self, uid: int) -> ResourceLimits:
        if self._cgroups is not None:
            try:
                return CgroupLimits(self._cgroups.create(pids=TASKS))
            except OSError as error:
                raise BuildSandboxError(f"no control group could be made: {error}") from error
        return WatchedLimits(asyncio.get_running_loop(), uid=uid)


class _Run:
    """One sandbox, from its start to its confirmed end."""

    def __init__(
        self, limits: Limits, log: BuildLog, confinement: ResourceLimits, starter: Executor, *, watched: bool
    ) -> None:
        self._limits = limits
        self._log = log
        self._confinement = confinement
        self._watched = watched
        self._gone = asyncio.Event()
        self._near, self._far = socket.socketpair()
        self._out = -1
        self._tree = ProcessTree(
            asyncio.get_running_loop(),
            starter=starter,
            confinement=confinement,
            limit=self._set_limits,
            on_gone=self._gone.set,
        )

    def start(self, argv: list[str], door: SandboxNetwork, program: int) -> None:
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
            network=door,
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
        self._confinement.watch(lambda _: self._tree.kill())
        asyncio.get_running_loop().add_reader(self._out, self._hear)

    async def finish(self, order: bytes, result: IO[bytes]) -> None:
        """Send the order, take the result, wait until nothing is left, and say what became of it."""
        bound = self._limits.disk_mb * _MIB + _TAR_OVERHEAD
        exchange = asyncio.create_task(asyncio.to_thread(_exchange, self._near, order, result, bound))
        late = False
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._gone.wait()
        except TimeoutError:
            late = True
        finally:
            if not self._tree.gone:
                self._tree.kill()
                await self._gone.wait()
            complete = await exchange
            self._hear()
            asyncio.get_running_loop().remove_reader(self._out)
            self._close()
        self._judge(late=late, complete=complete)

    def _judge(self, *, late: bool, complete: bool) -> None:
        limits = self._limits
        if self._tree.error is not None:
            raise BuildSandboxError(f"the sandbox could not be started: {self._tree.error}")
        if late:
            raise InstallError(f"The installation took longer than {limits.seconds:g} seconds.")
        if self._confinement.out_of_memory():
            raise InstallError(f"The installation needed more than {limits.memory_mb} MB of memory.")
        if not complete:
            raise InstallError("What was installed is too large.")
        if self._tree.status == _FAILED:
            raise InstallError(reason_of(self._log.text(), disk_mb=limits.disk_mb))
        if self._tree.status != 0:
            said = self._log.text().strip().rpartition("\n")[2]
            raise BuildSandboxError(f"the sandbox ended with status {self._tree.status}: {said}")

    def _set_limits(self, pid: int) -> None:
        limits = self._limits
        set_rlimits(pid, processes=TASKS if self._watched else None, file_bytes=limits.disk_mb * _MIB)
        # What is written to the folder counts as memory where the kernel does the counting.
        disk_mb = 0 if self._watched else limits.disk_mb
        self._confinement.limit_memory((limits.memory_mb + disk_mb) * _MIB)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._out, _COPY_BYTES):
                self._log.write(data)
                if len(data) < _COPY_BYTES:
                    break

    def _close(self) -> None:
        self._near.close()
        os.close(self._out)


def _exchange(near: socket.socket, order: bytes, result: IO[bytes], bound: int) -> bool:
    """Send the order and take what comes back, until nobody holds the other end; False: it was too much."""
    near.settimeout(None)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        near.sendall(len(order).to_bytes(8, "little") + order)
        while data := near.recv(_COPY_BYTES):
            bound -= len(data)
            if bound < 0:
                near.shutdown(socket.SHUT_RDWR)
                return False
            result.write(data)
    return True


async def _give_back(confinement: ResourceLimits) -> None:
    for _ in range(_REMOVE_TRIES):
        if confinement.remove():
            return
        await asyncio.sleep(_REMOVE_SECONDS)
