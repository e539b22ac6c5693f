"""Settings of a pool, and what it reports about itself."""

from pathlib import Path

import msgspec


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many sandboxes there are, how long they live, when jobs queue behind each other."""

    slots: int = 8
    """Number of sandboxes that may run jobs at once."""
    newcomer_slots: int = 0
    """Number of further ones, each for a tenant that holds no slot."""
    prebooted: dict[str, int] = msgspec.field(default_factory=lambda: {"python": 1, "nodejs": 1, "shell": 1})
    """Number of pre-booted sandboxes to keep, by runtime."""
    stocked_on_use: frozenset[str] = frozenset({"deno", "wasm"})
    """Runtimes to pre-boot only if workers have used them, or were made, within `lately_seconds`."""
    lately_seconds: float = 25 * 3600.0
    module_folder: Path | None = None
    """Where compiled WebAssembly modules are stored; without it each sandbox compiles its own."""
    module_limit_bytes: int = 256 * 1024 * 1024
    warm_limit: int = 8
    """Largest number of sandboxes that wait for another job of their worker."""
    boot_limit: int = 4
    """Number of sandboxes that boot at once for jobs; twice as many where a tenant holds no slot."""
    idle_seconds: float = 300.0
    max_age_seconds: float = 3600.0
    max_jobs_per_sandbox: int = 100_000
    spared_processors: int = 1
    """Number of CPUs that long jobs leave to others while several tenants are active."""
    grace_seconds: float = 10.0
    """Time between the SIGTERM and the SIGKILL of a cancel."""
    boot_seconds: float = 30.0
    fast_seconds: float = 0.005
    """Jobs of a worker with a shorter average duration may queue behind each other in a sandbox."""
    pipeline_seconds: float = 0.004
    """Largest total duration of the jobs that queue in one sandbox."""
    pipeline_depth: int = 64


class PoolCapacity(msgspec.Struct, frozen=True):
    """How many jobs the pool can take now: of any worker, and further ones of workers measured fast."""

    free: int
    fast: dict[str, int]
    newcomers: int = 0
    """Further jobs, beyond `free`: each the first one of a tenant that is not in `holding`."""
    holding: dict[str, int] = {}
    """How many slots each tenant holds; tenants without any are left out."""

    @property
    def most(self) -> int:
        """How many jobs it can take at most."""
        return max(self.free, 0) + max(self.newcomers, 0) + sum(self.fast.values())


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Sandboxes by runtime and state, and counts since the start."""

    sandboxes: dict[str, dict[str, int]]
    running: int
    """Jobs inside sandboxes, started or waiting in their sockets."""
    waiting: int
    """Jobs that wait for a sandbox."""
    booted: int
    boots: dict[str, int] = {}
    """How many have become ready, by runtime."""
    boot_seconds: dict[str, float] = {}
    """How long that took, added up, by runtime."""
    starts: dict[tuple[str, str], int] = {}
    """How many jobs started, by runtime and how: `warm`, `prebooted` or `cold`."""
    boot_failures: dict[str, str]
    """The reason of the last boot failure, by runtime, until a boot succeeds."""
    discarded: dict[str, int]
    """Number of discarded sandboxes, by reason."""
