"""What a host offers to run user code: isolation, interpreters, missing features."""

from enum import IntEnum

import msgspec

from runwright.runtimes.support import end_of_support, interpreter_name, release_line


class Isolation(IntEnum):
    """The isolation level of user code, weakest first.

    `process`: rlimits only. `standard`: own namespaces and a memory limit. `strict`:
    that, a seccomp filter, cgroups, and no process of the host's root user.
    """

    PROCESS = 1
    STANDARD = 2
    STRICT = 3

    @property
    def wire_name(self) -> str:
        """The level's name in logs and settings."""
        return self.name.lower()


class MissingFeature(msgspec.Struct, frozen=True):
    """A feature that the host lacks, and how an operator can provide it."""

    what: str
    why: str
    remedy: str


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one runtime's harness."""

    runtime: str
    version: str
    path: str
    flags: tuple[str, ...]
    """Arguments before the harness; `{readable}`, `{writable}` and `{bundle}` are replaced by folders."""
    project_flags: dict[str, tuple[str, tuple[str, ...]]] = {}
    """By file name in a bundle with a layer: the flag that the file replaces, and its replacement."""
    harness: str
    """The file that it runs."""
    module: tuple[str, ...] = ()
    """The harness itself, where that file runs a module."""
    mounts: tuple[str, ...] = ()
    """Directories of the host that it needs in addition to /usr."""
    arguments: tuple[str, ...] = ()
    heap_flag: str | None = None
    """The flag that sets its heap size in MiB, if the size must be set at boot."""
    scratch: str | None = None
    """A folder of the sandbox that it writes to; a layer's folder of that name is linked into it."""
    environment: tuple[tuple[str, str], ...] = ()
    """Environment variables in addition to those of every sandbox."""
    commands: tuple[str, ...] = ()
    """The names under which programs find it, first on their PATH."""
    overhead_mb: int = 24
    """Memory of the runtime itself, in addition to the worker's."""

    @property
    def line(self) -> str | None:
        """Its release line, such as `3.12`; None where workers cannot choose one."""
        return release_line(self.runtime, self.version)


class RuntimeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A release line of a runtime that workers may choose on this host."""

    runtime_version: str
    """The line, such as `3.12`."""
    version: str
    preferred: bool
    """Whether workers that choose none run on it."""
    end_of_support: str | None = None


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one runtime on this host; `reason` is why it is not ready."""

    name: str
    ready: bool
    version: str | None = None
    path: str | None = None
    isolation: str | None = None
    """The isolation level at which it runs, by its name in logs and settings."""
    reason: str | None = None
    versions: tuple[RuntimeVersion, ...] = ()
    """What workers may choose, the oldest first; empty where there is nothing to choose."""

    @property
    def end_of_support(self) -> str | None:
        """The date of the last fixes for its release line; None where none is published."""
        return end_of_support(self.name, self.version)


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the probe: how to build sandboxes on this host."""

    isolation: Isolation
    bwrap: str | None
    user_namespace: bool
    """True if bwrap maps an unprivileged user; False if the harness drops from root to a uid of its own."""
    first_uid: int = 0
    seccomp: bool = False
    cgroup_version: int = 0
    network: bool = False
    """Whether sandboxes can have a network."""
    reached: tuple[str, ...] = ()
    missing: tuple[MissingFeature, ...] = ()
    interpreters: dict[str, Interpreter] = {}
    """By `interpreter_name`: the preferred one of each runtime by the runtime's name."""
    runtimes: dict[str, RuntimeInfo] = {}

    def canonical_name(self, name: str) -> str:
        """Return the name in `interpreters` of an interpreter: the preferred line has that of its runtime."""
        runtime, _, line = name.partition("@")
        preferred = self.interpreters.get(runtime)
        return runtime if preferred is not None and line == preferred.line else name

    @property
    def interpreter_names(self) -> list[str]:
        """All names by which workers may ask for an interpreter of this host."""
        ready = [one for one in self.runtimes.values() if one.ready]
        lines = [interpreter_name(one.name, line.runtime_version) for one in ready for line in one.versions]
        return [*(one.name for one in ready), *lines]
