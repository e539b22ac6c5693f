"""What a host offers to run user code with: isolation, interpreters, what is missing and why."""

from enum import IntEnum

import msgspec


class Isolation(IntEnum):
    """How well user code is kept apart, weakest first.

    `process`: rlimits only. `standard`: own namespaces and a memory limit. `strict`:
    that, a seccomp filter, cgroups, and no process of the host's root user.
    """

    PROCESS = 1
    STANDARD = 2
    STRICT = 3

    @property
    def wire_name(self) -> str:
        """The level as logs and settings write it."""
        return self.name.lower()


class Missing(msgspec.Struct, frozen=True):
    """Something that the host does not offer, and how an operator gets it."""

    what: str
    why: str
    remedy: str


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one runtime's harness."""

    runtime: str
    version: str
    path: str
    flags: tuple[str, ...]
    """What goes before the harness; `{readable}` and `{writable}` stand for the folders that are so.

    `{bundle}` is the bundle's.
    """
    project_flags: dict[str, tuple[str, tuple[str, ...]]] = {}
    """By files that a bundle with a layer may have: the flag that each replaces, and with what."""
    harness: str
    mounts: tuple[str, ...] = ()
    """Directories of the host that it needs beside /usr."""
    arguments: tuple[str, ...] = ()
    heap_flag: str | None = None
    """How its heap is sized at boot, in MiB, where the runtime must be told then."""
    scratch: str | None = None
    """A folder of the sandbox that it writes in; what a layer has in one of that name is linked into it."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that it needs beside those of every sandbox."""
    overhead_mb: int = 24
    """What the runtime itself needs, on top of the worker's own memory."""


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What this host offers for one runtime; `reason` says why where it is not ready."""

    name: str
    ready: bool
    version: str | None = None
    path: str | None = None
    isolation: str | None = None
    """The level at which it runs, by its name in logs and settings."""
    reason: str | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the probe: what sandboxes on this host are made of."""

    isolation: Isolation
    bwrap: str | None
    user_namespace: bool
    """True: bwrap maps an unprivileged user. False: the harness drops from root to a uid of its own."""
    first_uid: int = 0
    seccomp: bool = False
    cgroup_version: int = 0
    network: bool = False
    """Whether sandboxes can be given a way out; without one they have no network at all."""
    reached: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    interpreters: dict[str, Interpreter] = {}
    runtimes: dict[str, RuntimeInfo] = {}
