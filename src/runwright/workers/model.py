"""Workers and their versions."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from runwright.core.ids import WorkerId

MAX_PROCESSES: Final = 128
"""The default of workers."""


class RuntimeName(StrEnum):
    """The runtimes that the API knows; a host may offer only some of them."""

    NODEJS = "nodejs"
    PYTHON = "python"
    DENO = "deno"
    SHELL = "shell"
    WASM = "wasm"


class WorkerStatus(StrEnum):
    """Whether a worker accepts jobs, and whether they run."""

    ACTIVE = "active"
    PAUSED = "paused"
    DEPRECATED = "deprecated"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the API shows it."""

    id: WorkerId
    tenant_id: str
    name: str
    runtime: RuntimeName
    runtime_version: str | None = None
    """The release line that it has chosen; None for the one that the host prefers."""
    description: str | None
    status: WorkerStatus
    version: int
    entrypoint: str
    source_code: str | None
    config: dict[str, Any]
    secrets: list[str]
    timeout_seconds: int
    max_retries: int
    max_concurrency: int | None
    memory_mb: int
    max_processes: int = MAX_PROCESSES
    """How many processes and threads a sandbox may have."""
    network: Any
    input_schema: dict[str, Any] | None = None
    """A JSON Schema that inputs of users are checked by."""
    created_by: str
    created_at: datetime
    updated_at: datetime


class NewWorker(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a worker to create, already validated."""

    name: str
    runtime: RuntimeName
    runtime_version: str | None = None
    description: str | None = None
    entrypoint: str | None = None
    source_code: str | None = None
    config: dict[str, Any] = {}
    secrets: list[str] = []
    timeout_seconds: int = 300
    max_retries: int = 0
    max_concurrency: int | None = None
    memory_mb: int = 256
    max_processes: int = MAX_PROCESSES
    network: Any = "public"
    input_schema: dict[str, Any] | None = None


class WorkerChanges(msgspec.Struct, frozen=True, kw_only=True):
    """The values that a PATCH changes. `config` is merged; a null value removes its key."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | None | msgspec.UnsetType = msgspec.UNSET
    status: WorkerStatus | msgspec.UnsetType = msgspec.UNSET
    runtime_version: str | None | msgspec.UnsetType = msgspec.UNSET
    source_code: str | msgspec.UnsetType = msgspec.UNSET
    entrypoint: str | msgspec.UnsetType = msgspec.UNSET
    config: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    secrets: list[str] | msgspec.UnsetType = msgspec.UNSET
    timeout_seconds: int | msgspec.UnsetType = msgspec.UNSET
    max_retries: int | msgspec.UnsetType = msgspec.UNSET
    max_concurrency: int | None | msgspec.UnsetType = msgspec.UNSET
    memory_mb: int | msgspec.UnsetType = msgspec.UNSET
    max_processes: int | msgspec.UnsetType = msgspec.UNSET
    network: Any | msgspec.UnsetType = msgspec.UNSET
    input_schema: dict[str, Any] | None | msgspec.UnsetType = msgspec.UNSET


class VersionStatus(StrEnum):
    """Whether a version can run; only `building` changes later."""

    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class ImportCheck(StrEnum):
    """When the code of a version is imported in a sandbox before it becomes ready."""

    ONLY = "only"
    """At once: nothing else is to be done."""
    INSTALLED = "installed"
    """When its dependencies are installed."""


class VersionSource(StrEnum):
    """Where a version's code came from."""

    INLINE = "inline"
    BUNDLE = "bundle"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a worker's code; the active one runs."""

    worker_id: str
    version: int
    status: VersionStatus
    active: bool
    source: VersionSource
    entrypoint: str
    runtime_version: str | None = None
    source_code: str | None
    digest: str | None
    size_bytes: int | None
    files: int | None
    error: str | None
    message: str | None
    """What was written about it when it was deployed."""
    author: str
    created_by: str
    created_at: datetime


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version to insert: inline source, or a bundle that is stored already."""

    worker_id: str
    version: int
    entrypoint: str
    runtime_version: str | None = None
    source_code: str | None = None
    status: VersionStatus = VersionStatus.READY
    import_check: ImportCheck | None = None
    digest: str | None = None
    size_bytes: int | None = None
    files: int | None = None
    message: str | None = None
    author: str | None = None
    """Where it is not `created_by`."""
    created_by: str
    created_at: datetime


class DeployNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a user writes about a version. The author is by default the caller, by the name of their key."""

    message: str | None = None
    author: str | None = None


class WorkerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which workers to list."""

    status: WorkerStatus | None = None
    runtime: RuntimeName | None = None
    newest_version: VersionStatus | None = None
    name_contains: str | None = None
