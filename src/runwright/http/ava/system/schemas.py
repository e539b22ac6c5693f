"""The schemas of the state of the server."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright.http.ava.envelopes import Time
from runwright.http.ava.runtimes.routes import RuntimeOut, runtime_out
from runwright.http.fields import to_out
from runwright.http.system_report import SystemReport

Level = Literal["process", "standard", "strict"]


class MissingFeatureOut(msgspec.Struct, frozen=True):
    """A feature that the host lacks; what `runwright doctor` reports."""

    what: str
    why: str
    remedy: Annotated[str, Meta(description="How the operator can provide it.")]


class IsolationOut(msgspec.Struct, frozen=True, kw_only=True):
    """The isolation of user code on the host of the process that answers."""

    level: Level
    floor: Annotated[Level, Meta(description="The setting `isolation_floor`.")]
    reached: Annotated[list[str], Meta(description="What the host offers.")]
    missing: list[MissingFeatureOut]


class ExecutorOut(msgspec.Struct, frozen=True, kw_only=True):
    """An executor."""

    id: Annotated[str, Meta(description="`exe_` and a lower-case ULID.")]
    host: str
    pid: int
    slots: Annotated[int, Meta(description="How many jobs it runs at once, not counting newcomers' slots.")]
    running: int
    isolation: Level
    runtimes: list[str]
    draining: bool
    live: Annotated[bool, Meta(description="Whether its lease is valid.")]
    started_at: Time
    lease_expires_at: Time


class QueueTotalsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The queued and running jobs of all tenants."""

    ready: Annotated[int, Meta(description="Due, and not started.")]
    waiting: Annotated[int, Meta(description="Scheduled for later, or waiting for a retry.")]
    running: int
    oldest_due_at: Annotated[
        Time | None, Meta(description="Since when the oldest job that has not started has been due.")
    ]
    oldest_due_seconds: Annotated[float, Meta(description="How long that is.")]
    sampled_at: Annotated[Time, Meta(description="When they were counted.")]


class DatabaseOut(msgspec.Struct, frozen=True, kw_only=True):
    """The database."""

    version: Annotated[str, Meta(examples=["18.0"])]
    embedded: bool
    schema_version: int
    size_bytes: int


class DiskOut(msgspec.Struct, frozen=True, kw_only=True):
    """The file system of a folder."""

    folder: Annotated[Literal["data_dir", "cache_dir"], Meta(description="The setting that names it.")]
    path: str
    total_bytes: int
    free_bytes: int


class StorageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the data in the database."""

    name: Annotated[
        Literal["jobs", "logs", "code", "events", "agents", "schedules", "audit", "other"],
        Meta(description="`code` has bundles and installed dependencies, `events` webhooks and deliveries."),
    ]
    size_bytes: Annotated[int, Meta(description="With indexes, and with room that is free again.")]
    unused_bytes: Annotated[
        int, Meta(description="What no version of a worker has; it is deleted after a day or its retention.")
    ]


class SystemOut(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the server."""

    version: str
    roles: Annotated[list[str], Meta(description="Of the process that answers.")]
    isolation: IsolationOut
    runtimes: list[RuntimeOut]
    executors: Annotated[list[ExecutorOut], Meta(description="Of all processes.")]
    queue: QueueTotalsOut
    database: DatabaseOut
    storage: Annotated[list[StorageOut], Meta(description="The database by what is in it, largest first.")]
    disks: list[DiskOut]


def system_out(report: SystemReport) -> SystemOut:
    queue = report.queue
    age = 0.0 if queue.oldest_due_at is None else (queue.sampled_at - queue.oldest_due_at).total_seconds()
    return to_out(
        SystemOut,
        report,
        isolation=to_out(
            IsolationOut,
            report.isolation,
            missing=[to_out(MissingFeatureOut, one) for one in report.isolation.missing],
        ),
        runtimes=[runtime_out(one) for one in report.runtimes],
        executors=[to_out(ExecutorOut, one) for one in report.executors],
        queue=to_out(QueueTotalsOut, queue, oldest_due_seconds=max(age, 0.0)),
        database=to_out(DatabaseOut, report.database),
        storage=[to_out(StorageOut, one) for one in report.storage],
        disks=[to_out(DiskOut, one) for one in report.disks],
    )
