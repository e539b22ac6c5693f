"""What a pool is told, and what it tells about itself."""

from pathlib import Path

import msgspec


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many sandboxes, how long they live, how eagerly jobs queue behind each other."""

    slots: int = 8
    """Sandboxes that may run jobs at once."""
    prebooted: dict[str, int] = msgspec.field(default_factory=lambda: {"python": 1, "nodejs": 1, "shell": 1})
    """Sandboxes per runtime that wait, booted, for the code of a worker."""
    stocked_on_use: frozenset[str] = frozenset({"deno", "wasm"})
    """Runtimes that are kept in stock only where one of their workers has opened a sandbox lately."""
    lately_seconds: float = 3600.0
    module_folder: Path | None = None
    """Where compiled WebAssembly modules are kept; without one each sandbox compiles its own."""
    module_limit_bytes: int = 256 * 1024 * 1024
    warm_limit: int = 8
    """Sandboxes at most that wait for another job of their worker."""
    idle_seconds: float = 300.0
    max_age_seconds: float = 3600.0
    max_jobs_per_sandbox: int = 100_000
    spared_processors: int = 1
    """Processors that long jobs leave to others while several tenants are at work."""
    grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL of a cancel."""
    boot_seconds: float = 30.0
    fast_seconds: float = 0.005
    """Jobs of a worker that takes less on average may wait behind each other in a sandbox."""
    pipeline_seconds: float = 0.004
    """Work at most that waits so in one sandbox."""
    pipeline_depth: int = 64


class PoolCapacity(msgspec.Struct, frozen=True):
    """What the pool can take now: any job, and further jobs of workers measured fast."""

    free: int
    fast: dict[str, int]


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Sandboxes by runtime and state, and counts since the start."""

    sandboxes: dict[str, dict[str, int]]
    running: int
    """Runs inside sandboxes, begun or waiting in their sockets."""
    waiting: int
    """Runs that wait for a sandbox."""
    booted: int
    boot_failures: dict[str, str]
    """The latest reason per runtime whose last boot failed."""
    thrown_away: dict[str, int]
    """Sandboxes thrown away, by reason."""
