"""Starts sandboxes on this host: the command, the descriptors, the uid, the limits."""

import asyncio
import fcntl
import os
import pwd
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.egress import Egress
from runwright.runtimes.harness_command import HARNESS_FOLDER, harness_command, sandbox_command
from runwright.runtimes.host import Host
from runwright.runtimes.model import WorkerCode
from runwright.runtimes.pool.sandbox import Sandbox, SandboxOwner
from runwright.sandbox.bubblewrap import ENVIRONMENT, TEMPORARY, Bubblewrap
from runwright.sandbox.cgroups import Cgroups, open_cgroups
from runwright.sandbox.cpu_affinity import CpuShare, move
from runwright.sandbox.keyrings import hide_session_keyring, uids_with_keys
from runwright.sandbox.mounts import hold_folders, release_folders
from runwright.sandbox.process_tree import Launch, ProcessTree
from runwright.sandbox.resource_limits import CgroupLimits, ResourceLimits, WatchedLimits, set_rlimits
from runwright.sandbox.seccomp import filter_program

_SEALED: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_PROCESSES: Final = 512
_UIDS: Final = 4096
"""How many uids sandboxes may have; with 60000 as the first, all lie below `nobody`."""
_REMOVE_SECONDS: Final = 0.05
_REMOVE_TRIES: Final = 100


class Mounts(msgspec.Struct, frozen=True):
    """The code whose folders a sandbox mounts, and the descriptors that hold the folders."""

    code: WorkerCode | None
    held: list[int]


class Launcher:
    """Makes sandboxes and takes back what they held of the host."""

    def __init__(self, *, host: Host, loop: asyncio.AbstractEventLoop, egress: Egress | None = None) -> None:
        self._host = host
        self._loop = loop
        self._egress = egress if host.network else None
        self._free_uids: list[int] = []
        self._next_uid = os.getpid() * 37  # neighbours on one host start far from each other
        self._folders: dict[Sandbox, str] = {}
        self._mounts: dict[Sandbox, Mounts] = {}
        self._removing: set[ResourceLimits] = set()
        self._cgroups: Cgroups | None = None
        self._filter: int | None = None
        self._share = CpuShare(frozenset(os.sched_getaffinity(0)), gives_way=False)
        """What is started from now on may take so much of the processors."""
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="runwright-starter")
        self._mover = ThreadPoolExecutor(1, thread_name_prefix="runwright-mover")

    def open(self) -> None:
        """Make the instance's cgroup and load the system call filter."""
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
        """Leave nothing behind on the host. All sandboxes are released by now."""
        for confinement in list(self._removing):
            confinement.remove()
        self._removing.clear()
        self._starter.shutdown()
        self._mover.shutdown()
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None
        if self._filter is not None:
            os.close(self._filter)
            self._filter = None

    def launch(
        self,
        runtime: str,
        *,
        memory_mb: int,
        code: WorkerCode | None,
        owner: SandboxOwner,
        clock: Clock,
        patience: float,
        boot_seconds: float,
    ) -> Sandbox:
        """Start a sandbox for workers of that memory; it tells its owner when it is ready.

        `code` is named where the sandbox mounts folders of it, and so can never have another one.
        """
        held = hold_folders(code.folders if code else [])
        uid = self._take_uid()
        try:
            confinement = self._confinement(uid)
        except OSError:
            self._give_uid(uid)
            release_folders(held)
            raise
        sandbox = Sandbox(
            runtime=runtime,
            memory_mb=memory_mb,
            uid=uid,
            confinement=confinement,
            patience=patience,
            owner=owner,
            loop=self._loop,
            clock=clock,
        )
        self._mounts[sandbox] = Mounts(code, held)
        sandbox.share = self._share
        sandbox.mounted = self._host.bwrap is not None
        sandbox.tree = ProcessTree(
            self._loop,
            starter=self._starter,
            confinement=confinement,
            limit=self._set_limits,
            on_gone=sandbox.tree_gone,
        )
        try:
            sandbox.launch(lambda out, err: self._start(sandbox, out, err), boot_seconds)
        except OSError:
            sandbox.abandon()
            self.release(sandbox)
            raise
        return sandbox

    def share_new(self, share: CpuShare) -> None:
        """Start sandboxes with that share from now on; while some give way here, all do to the server."""
        if self._cgroups is not None and share.gives_way != self._share.gives_way:
            self._cgroups.deprioritize(way=share.gives_way)
        self._share = share

    def share_out(self, sandbox: Sandbox, share: CpuShare) -> None:
        """Let a sandbox take so much of the processors; a thread looks who is in it."""
        sandbox.share = share
        self._mover.submit(_share_out, sandbox.harness_pid, sandbox.confinement, share)

    def release(self, sandbox: Sandbox) -> None:
        """Take back what a sandbox held, now that it is gone."""
        self._give_uid(sandbox.uid)
        mounts = self._mounts.pop(sandbox, None)
        if mounts is not None:
            release_folders(mounts.held)
        folder = self._folders.pop(sandbox, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self._removing.add(sandbox.confinement)
        self._remove(sandbox.confinement, _REMOVE_TRIES)

    def _start(self, sandbox: Sandbox, stdout: int, stderr: int) -> None:
        program = self._filter
        if program is not None:
            program = os.open(f"/proc/self/fd/{program}", os.O_RDONLY | os.O_CLOEXEC)
        bare = self._host.bwrap is None
        try:
            if self._egress is not None:
                sandbox.network.open(self._egress)
            launch = Launch(
                argv=self._bare_command(sandbox) if bare else self._command(sandbox),
                env=self._bare_environment(sandbox) if bare else {},
                wrapped=not bare,
                stdout=stdout,
                stderr=stderr,
                socket=sandbox.channel.far.fileno(),
                seccomp=program,
                share=self._share,
                network=sandbox.network.door,
            )
            sandbox.tree.start(launch)
        finally:
            if program is not None:
                os.close(program)

    def _command(self, sandbox: Sandbox) -> list[str]:
        return sandbox_command(
            Bubblewrap(
                path=self._host.bwrap or "",
                user_namespace=self._host.user_namespace,
                seccomp=self._filter is not None,
            ),
            self._host.interpreters[sandbox.runtime],
            uid=sandbox.uid,
            memory_mb=sandbox.memory_mb,
            code=self._mounts[sandbox].code,
            network=sandbox.network.door is not None,
        )

    def _bare_command(self, sandbox: Sandbox) -> list[str]:
        """Return the command without bwrap, in a folder that is the sandbox's own."""
        folder = self._folders[sandbox] = tempfile.mkdtemp(prefix="runwright-")
        if sandbox.uid:
            os.chown(folder, sandbox.uid, sandbox.uid)
        interpreter = self._host.interpreters[sandbox.runtime]
        return harness_command(
            interpreter,
            uid=sandbox.uid,
            folder=folder,
            harness_folder=str(HARNESS_FOLDER),
            memory_mb=sandbox.memory_mb,
            code=self._mounts[sandbox].code,
        )

    def _bare_environment(self, sandbox: Sandbox) -> dict[str, str]:
        folder, code = self._folders[sandbox], self._mounts[sandbox].code
        holder = code.layer if code is not None and code.layer is not None else folder
        variables = dict(self._host.interpreters[sandbox.runtime].environment)
        own = {name: value.replace(f"{TEMPORARY}/", f"{holder}/") for name, value in variables.items()}
        return {**ENVIRONMENT, **own, "HOME": folder, "TMPDIR": folder}

    def _confinement(self, uid: int) -> ResourceLimits:
        if self._cgroups is not None:
            return CgroupLimits(self._cgroups.create())
        wrapped = self._host.bwrap is not None
        system_v = wrapped and self._filter is None and not os.geteuid()
        return WatchedLimits(self._loop, uid=uid, wrapped=wrapped, system_v=system_v)

    def _set_limits(self, pid: int) -> None:
        set_rlimits(pid, processes=None if self._cgroups is not None else _PROCESSES)

    def _remove(self, confinement: ResourceLimits, tries: int) -> None:
        if confinement not in self._removing:
            return
        if confinement.remove() or not tries:
            self._removing.discard(confinement)
        else:
            self._loop.call_later(_REMOVE_SECONDS, self._remove, confinement, tries - 1)

    def _give_uid(self, uid: int) -> None:
        if uid:
            self._free_uids.append(uid)

    def _take_uid(self) -> int:
        """Return a uid that no sandbox of ours has and no account of the host."""
        if not self._host.first_uid:
            return 0
        used = uids_with_keys() if self._filter is None else set()
        for place in range(len(self._free_uids) - 1, -1, -1):
            if self._free_uids[place] not in used:
                return self._free_uids.pop(place)
        for _ in range(_UIDS):
            uid = self._host.first_uid + self._next_uid % _UIDS
            self._next_uid += 1
            if uid not in used and not _has_account(uid):
                return uid
        raise OSError("the kernel keeps keys of every uid that sandboxes may have")


def _share_out(harness: int, confinement: ResourceLimits, share: CpuShare) -> None:
    confinement.deprioritize(way=share.gives_way)
    move({harness, *confinement.members()}, share.processors)


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
