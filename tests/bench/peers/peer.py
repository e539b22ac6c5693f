"""The one shape that every peer has, so that each figure is measured the same way for all.

A peer is opened on a fresh server of its kind; the bed that comes out says how to start its
workers, how to run one producer process that enqueues N no-op jobs (one call per job, as a
web request would), and how to count, cheaply, the jobs whose end is stored.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import msgspec


class Bed(msgspec.Struct, frozen=True, kw_only=True):
    """A peer ready to be measured. `workers` is a command per process; `producer`
    takes the number of jobs as its last argument."""

    folder: Path
    env: dict[str, str]
    workers: list[list[str]]
    producer: list[str]
    completed: Callable[[], Awaitable[int]]


class Span(msgspec.Struct, frozen=True):
    """What a producer prints: when it began and ended, on the machine's monotonic clock."""

    began: float
    ended: float


class Peer(Protocol):
    """A job system to measure against."""

    name: str
    package: str
    settings: str

    def missing(self) -> str | None:
        """Say why this peer cannot run here, if so."""

    def open(self, folder: Path) -> AbstractAsyncContextManager[Bed]:
        """Start its server in `folder`."""


def package_missing(*packages: str) -> str | None:
    """Say which of these packages is not installed."""
    for package in packages:
        try:
            version(package)
        except PackageNotFoundError:
            return f"the package {package} is not installed (dependency group bench)"
    return None
