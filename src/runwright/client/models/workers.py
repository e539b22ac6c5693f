"""Workers and their versions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from runwright.client.models.base import Info

NetworkAccess: TypeAlias = "Literal['none', 'public'] | Mapping[Literal['allow'], Sequence[str]]"
"""What a worker may reach: nothing, what is public, or `{"allow": [hosts]}`."""


class WorkerInfo(Info, frozen=True, kw_only=True):
    """A worker."""

    id: str
    tenant_id: str
    name: str
    runtime: str
    runtime_version: str | None = None
    """The release line that it has chosen; None: the one that the server prefers."""
    description: str | None = None
    status: str
    """`active`, `paused` or `deprecated`."""
    version: int
    entrypoint: str
    source_code: str | None = None
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    secrets: list[str] = msgspec.field(default_factory=list)
    timeout_seconds: int
    max_retries: int
    max_concurrency: int | None = None
    memory_mb: int
    max_processes: int | None = None
    network: Any = "public"
    input_schema: dict[str, Any] | bool | None = None
    created_by: str
    created_at: datetime
    updated_at: datetime


class VersionInfo(Info, frozen=True, kw_only=True):
    """A version of a worker's code."""

    worker_id: str
    version: int
    status: str
    """`building`, `ready` or `failed`."""
    active: bool
    """Whether it is the one that serves."""
    source: str
    entrypoint: str
    runtime_version: str | None = None
    source_code: str | None = None
    digest: str | None = None
    size_bytes: int | None = None
    files: int | None = None
    error: str | None = None
    message: str | None = None
    author: str | None = None
    created_by: str
    created_at: datetime
    timed_out: bool = False
    """Of a deploy: it was still building when the time was up."""


class VersionLogInfo(Info, frozen=True, kw_only=True):
    """What the installer of a version's dependencies has printed."""

    worker_id: str
    version: int
    status: str
    log: str


class FileInfo(Info, frozen=True, kw_only=True):
    """A file of a version."""

    path: str
    size_bytes: int
    executable: bool
    digest: str


class FileListInfo(Info, frozen=True, kw_only=True):
    """A window of the files of a version."""

    worker_id: str
    version: int
    entrypoint: str
    files: list[FileInfo]
    total: int
    next_after: str | None = None


class FileContentInfo(FileInfo, frozen=True, kw_only=True):
    """A file of a version with the first 512 KiB of its content."""

    worker_id: str
    version: int
    encoding: str
    """`utf-8`: `content` is the text; `base64`: it is not text."""
    content: str
    truncated: bool


class FileDiffInfo(Info, frozen=True, kw_only=True):
    """A file that differs between two versions."""

    path: str
    change: str
    old: FileInfo | None = msgspec.field(default=None, name="from")
    new: FileInfo | None = msgspec.field(default=None, name="to")
    added_lines: int | None = None
    removed_lines: int | None = None
    diff: str | None = None
    omitted: str | None = None
    """Why there is no `diff`."""


class VersionDiffInfo(Info, frozen=True, kw_only=True):
    """What differs between two versions."""

    worker_id: str
    old: int = msgspec.field(name="from")
    new: int = msgspec.field(name="to")
    from_entrypoint: str
    to_entrypoint: str
    files: list[FileDiffInfo]
    total: int
    truncated: bool = False


class StateInfo(Info, frozen=True, kw_only=True):
    """A value that jobs of a worker keep."""

    key: str
    value: Any = None
    bytes: int
    job_id: str
    updated_at: datetime


class WorkerOptions(TypedDict, total=False):
    """The fields of a worker that have a default."""

    description: str | None
    entrypoint: str | None
    runtime_version: str | None
    source_code: str | None
    config: Mapping[str, object]
    secrets: Sequence[str]
    timeout_seconds: int
    max_retries: int
    max_concurrency: int | None
    memory_mb: int
    max_processes: int
    network: NetworkAccess
    input_schema: Mapping[str, object] | None


class WorkerUpdate(WorkerOptions, total=False):
    """The fields of a worker that can be changed. `config` is merged; a value of None removes its key."""

    name: str
    status: Literal["active", "paused"]


class WorkerListing(TypedDict, total=False):
    """Which workers to list."""

    status: str
    runtime: str
    q: str
    """Part of the name."""
    payloads: bool
    """False: without their source, which may be large."""
    per_page: int
