"""Starts sandboxes on this host: command line, descriptors, uid, limits."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from runwright.core.lease_term import LeaseTerm
from runwright.egress import Egress
from runwright.runtimes.harness_command import (
    HARNESS_FOLDER,
    code_environment,
    harness_command,
    sandbox_command,
)
from runwright.runtimes.host import Host
from runwright.runtimes.model import WorkerCode
from runwright.runtimes.pool.network_log import LogLine
from runwright.runtimes.pool.sandbox_process import SandboxProcess
from runwright.runtimes.pool.stdio import Stdio
from runwright.sandbox.bubblewrap import ENVIRONMENT, TEMPORARY, Bubblewrap
from runwright.sandbox.cgroups import Cgroups, open_cgroups
from runwright.sandbox.cpu_affinity import CpuShare, set_cpu_affinity
from runwright.sandbox.kernel_objects import KernelObjectWatch
from runwright.sandbox.keyrings import hide_session_keyring, uids_with_keys
from runwright.sandbox.lease_guard import LeaseGuard
from runwright.sandbox.mounts import hold_folders, release_folders
from runwright.sandbox.process_tree import Launch, ProcessTree
from runwright.sandbox.resource_limits import CgroupLimits, ResourceLimits, WatchedLimits, set_rlimits
from runwright.sandbox.seccomp import filter_program
from runwright.sandbox.user_ids import UserIds

_SEALED: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_PROCESSES: Final = 1_032
"""Without cgroups, until the limit of the worker is known; above what any may ask for."""
_REMOVE_SECONDS: Final = 0.05
_REMOVE_TRIES: Final = 100


class Launcher:
    """Starts the processes of sandboxes and frees what they had of the host."""

    def __init__(
        self, *, host: Host, loop: asyncio.AbstractEventLoop, term: LeaseTerm, egress: Egress | None = None
    ) -> None:
        self._host = host
        self._loop = loop
        self._guard = LeaseGuard(loop, term)
        self._egress = egress if host.network else None
        self._uids = UserIds()
        self._removing: set[ResourceLimits] = set()
        self._cgroups: Cgroups | None = None
        self._kernel_objects = KernelObjectWatch()
        self._filter: int | None = None
        self._cpu_share = CpuShare(frozenset(os.sched_getaffinity(0)), deprioritized=False)
        """The share of new sandboxes."""
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="runwright-starter")
        self._mover = ThreadPoolExecutor(1, thread_name_prefix="runwright-mover")

    def open(self) -> None:
        """Create the instance's cgroup, load the system call filter, start the guard."""
        self._guard.open()
        self._uids.open()
        if self._host.cgroup_version:
            self._cgroups = open_cgroups()
        program = filter_program() if self._host.seccomp else None
        if program is not None:
            self._filter = os.memfd_create("seccomp", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.write(self._filter, program)
            fcntl.fcntl(self._filter, fcntl.F_ADD_SEALS, _SEALED)
        elif self._host.bwrap is not None:
            hide_session_keyring()

    def close(self) -> None:
        """Remove everything from the host; all sandboxes must have been released."""
        for limits in list(self._removing):
            limits.remove()
        self._removing.clear()
        self._guard.close()
        self._uids.close()
        self._starter.shutdown()
        self._mover.shutdown()
        self._kernel_objects.stop()
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None
        if self._filter is not None:
            os.close(self._filter)
            self._filter = None

    def prepare(self, runtime: str, *, memory_mb: int, code: WorkerCode | None) -> SandboxProcess:
        """Reserve what a sandbox of that memory needs of the host; OSError if something is missing.

        `code` is given if the sandbox mounts folders of it, so that it can never have other code.
        """
        held_folders = hold_folders(code.folders if code else [])
        uid = self._take_uid()
        try:
            limits = self._create_limits(uid)
        except OSError:
            self._return_uid(uid)
            release_folders(held_folders)
            raise
        return SandboxProcess(
            runtime,
            memory_mb=memory_mb,
            uid=uid,
            limits=limits,
            mounted_code=code,
            held_folders=held_folders,
            wrapped=self._host.bwrap is not None,
            cpu_share=self._cpu_share,
        )

    def start(
        self,
        process: SandboxProcess,
        stdio: Stdio,
        socket: int,
        on_gone: Callable[[], None],
        log: LogLine,
    ) -> None:
        """Start the processes of a sandbox; `log` receives lines about the network, in the egress thread."""
        process.tree = ProcessTree(
            self._loop,
            starter=self._starter,
            limits=process.limits,
            set_limits=self._set_limits,
            on_gone=on_gone,
            guard=self._guard,
        )
        stdout, stderr = stdio.open(process.uid)
        program = self._filter
        try:
            if program is not None:
                program = os.open(f"/proc/self/fd/{program}", os.O_RDONLY | os.O_CLOEXEC)
            if self._egress is not None:
                process.network = self._egress.open(log)
            launch = Launch(
                argv=self._command(process) if process.wrapped else self._bare_command(process),
                env={} if process.wrapped else self._bare_environment(process),
                wrapped=process.wrapped,
                stdout=stdout,
                stderr=stderr,
                socket=socket,
                seccomp=program,
                share=self._cpu_share,
                network=process.network,
                uid=process.uid,
            )
            process.tree.start(launch)
        finally:
            os.close(stdout)
            os.close(stderr)
            if program is not None and program != self._filter:
                os.close(program)

    def set_new_share(self, share: CpuShare) -> None:
        """Start sandboxes with that share from now on; if it is lower, all of them run below the server."""
        if self._cgroups is not None and share.deprioritized != self._cpu_share.deprioritized:
            self._cgroups.deprioritize(enabled=share.deprioritized)
        self._cpu_share = share

    def set_share(self, process: SandboxProcess, share: CpuShare) -> None:
        """Change a sandbox's share; a thread finds its processes and moves them."""
        process.cpu_share = share
        self._mover.submit(_move_processes, process.harness_pid, process.limits, share)

    def release(self, process: SandboxProcess) -> None:
        """Free what a sandbox had of the host, now that its processes are gone."""
        self._return_uid(process.uid)
        release_folders(process.held_folders)
        if process.folder is not None:
            shutil.rmtree(process.folder, ignore_errors=True)
        self._removing.add(process.limits)
        self._remove(process.limits, _REMOVE_TRIES)

    def _command(self, process: SandboxProcess) -> list[str]:
        return sandbox_command(
            Bubblewrap(
                path=self._host.bwrap or "",
                user_namespace=self._host.user_namespace,
                seccomp=self._filter is not None,
            ),
            self._host.interpreters[process.runtime],
            uid=process.uid,
            memory_mb=process.memory_mb,
            code=process.mounted_code,
            network=process.network is not None,
        )

    def _bare_command(self, process: SandboxProcess) -> list[str]:
        """Return the command without bwrap, in a folder of the sandbox's own."""
        folder = process.folder = tempfile.mkdtemp(prefix="runwright-")
        if process.uid:
            os.chown(folder, process.uid, process.uid)
        interpreter = self._host.interpreters[process.runtime]
        return harness_command(
            interpreter,
            uid=process.uid,
            folder=folder,
            harness_folder=str(HARNESS_FOLDER),
            memory_mb=process.memory_mb,
            code=process.mounted_code,
        )

    def _bare_environment(self, process: SandboxProcess) -> dict[str, str]:
        folder, code = process.folder or "", process.mounted_code
        holder = code.layer if code is not None and code.layer is not None else folder
        variables = dict(self._host.interpreters[process.runtime].environment)
        own = {name: value.replace(f"{TEMPORARY}/", f"{holder}/") for name, value in variables.items()}
        search = code_environment(
            self._host.interpreters[process.runtime],
            code,
            commands=os.path.dirname(self._host.interpreters[process.runtime].path),  # noqa: PTH120  a string
            bundle=(code.bundle if code else None) or folder,
            layer=holder,
        )
        return {**ENVIRONMENT, **search, **own, "HOME": folder, "TMPDIR": folder}

    def _create_limits(self, uid: int) -> ResourceLimits:
        if self._cgroups is not None:
            return CgroupLimits(self._cgroups.create(), self._kernel_objects)
        wrapped = self._host.bwrap is not None
        system_v = wrapped and self._filter is None and not os.geteuid()
        return WatchedLimits(self._loop, uid=uid, wrapped=wrapped, system_v=system_v)

    def _set_limits(self, pid: int) -> None:
        set_rlimits(pid, processes=None if self._cgroups is not None else _PROCESSES)

    def _remove(self, limits: ResourceLimits, tries: int) -> None:
        if limits not in self._removing:
            return
        if limits.remove() or not tries:
            self._removing.discard(limits)
        else:
            self._loop.call_later(_REMOVE_SECONDS, self._remove, limits, tries - 1)

    def _return_uid(self, uid: int) -> None:
        if uid:
            self._uids.give_back(uid)

    def _take_uid(self) -> int:
        """Return the uid of a new sandbox; 0 where sandboxes have none of their own."""
        if not self._host.first_uid:
            return 0
        return self._uids.take(uids_with_keys if self._filter is None else frozenset)


def _move_processes(harness: int, limits: ResourceLimits, share: CpuShare) -> None:
    limits.deprioritize(enabled=share.deprioritized)
    set_cpu_affinity({harness, *limits.members()}, share.cpus)
