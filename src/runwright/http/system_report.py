"""The report of `/v1/system`: the state of the server and of what it depends on, for its operator."""

from collections.abc import Sequence

import msgspec

from runwright.analytics.queues import QueueTotals
from runwright.leases.store import ExecutorStatus
from runwright.runtimes.host import MissingFeature, RuntimeInfo


class IsolationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How well this process can isolate user code on its host, and what the host lacks."""

    level: str
    floor: str
    reached: Sequence[str]
    missing: Sequence[MissingFeature]


class DatabaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """The database, and the version of its schema."""

    version: str
    embedded: bool
    schema_version: int
    size_bytes: int


class DiskReport(msgspec.Struct, frozen=True, kw_only=True):
    """The file system of one of the server's folders."""

    folder: str
    path: str
    total_bytes: int
    free_bytes: int


class StorageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of the data takes in the database, with its indexes."""

    name: str
    size_bytes: int
    unused_bytes: int = 0
    """Of code and dependencies: what no version has, which retention deletes."""


class SystemReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the server."""

    version: str
    roles: Sequence[str]
    """Of the process that answers."""
    isolation: IsolationReport
    runtimes: Sequence[RuntimeInfo]
    executors: Sequence[ExecutorStatus]
    queue: QueueTotals
    database: DatabaseReport
    storage: Sequence[StorageReport]
    disks: Sequence[DiskReport]
