"""Starts sandboxes on this host: the command, the descriptors, the uid, the limits."""

import asyncio
import os
import resource
import tempfile
from typing import Final

from runwright.core.clock import Clock
from runwright.runtimes.bubblewrap import DISK_BYTES, ENVIRONMENT, command
from runwright.runtimes.host import Host
from runwright.runtimes.sandbox import Owner, Sandbox
from runwright.runtimes.tree import Tree

_FILES: Final = 1024


class Launcher:
    """Makes sandboxes and takes back what they held of the host."""

    def __init__(self, *, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._free_uids: list[int] = []
        self._next_uid = host.first_uid
        self._work: dict[Sandbox, str] = {}

    def open(self) -> None:
        """Prepare the host."""

    def close(self) -> None:
        """Leave nothing behind on the host."""

    def launch(
        self, runtime: str, *, owner: Owner, clock: Clock, settings_patience: float, boot_seconds: float
    ) -> Sandbox:
        """Start a sandbox; it calls its owner when it is ready."""
        sandbox = Sandbox(
            runtime=runtime,
            owner=owner,
            loop=self._loop,
            clock=clock,
            oom_killed=lambda: False,
            uid=self._take_uid(),
            patience=settings_patience,
        )
        tree = Tree(self._loop, confine=_set_rlimits, on_gone=sandbox.tree_gone)

        def start(stdout: int, stderr: int) -> None:
            far = sandbox.far.fileno()
            interpreter = self._host.interpreters[runtime]
            tree.start(
                lambda setup: command(self._host, interpreter, socket_fd=far, uid=sandbox.uid, setup=setup),
                wrapped=self._host.bwrap is not None,
                pass_fds=[far],
                stdout=stdout,
                stderr=stderr,
                cwd=self._folder(sandbox),
                env={} if self._host.bwrap else ENVIRONMENT,
            )

        sandbox.launch(tree, start, boot_seconds)
        return sandbox

    def release(self, sandbox: Sandbox) -> None:
        """Take back what a sandbox held, now that it is gone."""
        if sandbox.uid:
            self._free_uids.append(sandbox.uid)

    def _take_uid(self) -> int:
        if not self._host.first_uid:
            return 0
        if self._free_uids:
            return self._free_uids.pop()
        self._next_uid += 1
        return self._next_uid - 1

    def _folder(self, sandbox: Sandbox) -> str | None:
        if self._host.bwrap is not None:
            return "/"
        self._work[sandbox] = tempfile.mkdtemp(prefix="runwright-")
        return self._work[sandbox]


def _set_rlimits(pid: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_FSIZE: DISK_BYTES,
    }
    for kind, limit in limits.items():
        resource.prlimit(pid, kind, (limit, limit))
