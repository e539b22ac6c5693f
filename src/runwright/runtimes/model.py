"""What an executor gives to the pool and what it gets back."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from runwright.runtimes.support import interpreter_name
from runwright.secrets.masking import Masker

APP: Final = "/app"
"""Where a sandbox has the layer of its code."""
CODE: Final = "/app/code"
"""Where a sandbox has the bundle of its code."""


class WorkerCode(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a worker's code with its limits.

    `key` is unique per (tenant, worker, version, limits): a sandbox serves one key only.
    """

    key: str
    tenant_id: str
    worker_id: str
    version: int
    runtime: str
    runtime_version: str | None = None
    """The release line that it needs; None for the one that the host prefers."""
    entrypoint: str
    source: bytes
    memory_mb: int
    max_processes: int | None = None
    """How many processes and threads it may have, where that is not the usual number."""
    network: Any
    bundle: str | None = None
    """Folder of the host with the files of the bundle, mounted read-only at /app/code; `source` is empty."""
    layer: str | None = None
    """Folder of the host with the installed dependencies, mounted read-only at /app."""
    only_load: bool = False
    """Whether jobs end, with null, when the code is loaded and its handler found."""

    @property
    def interpreter(self) -> str:
        """The name of the interpreter that it needs."""
        return interpreter_name(self.runtime, self.runtime_version)

    @property
    def folders(self) -> list[str]:
        """The folders of the host that a sandbox with this code mounts."""
        return [folder for folder in (self.bundle, self.layer) if folder is not None]


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one job for a sandbox to run. `id` is unique within the executor."""

    id: int
    job_id: str
    attempt: int
    code: WorkerCode
    input: bytes
    env: dict[str, str]
    secrets: dict[str, str] = {}
    """Added to `env`, and masked in everything that the job writes or returns."""
    masker: Masker | None = None
    """A masker of the secrets that was built in advance, if that takes long."""
    timeout_seconds: float
    worker_name: str = ""

    def __repr__(self) -> str:
        """Omit secrets, since this may be logged."""
        return f"Assignment(id={self.id}, job_id={self.job_id!r}, attempt={self.attempt})"


class OutcomeStatus(StrEnum):
    """How an assignment ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNSTARTED = "unstarted"
    """User code never began (the sandbox died or the pool stopped first); it can run elsewhere."""


class AttemptOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one assignment: `output` is JSON text, `error_code` a value of `ErrorCode`."""

    status: OutcomeStatus
    output: bytes | None = None
    error_code: str | None = None
    error_message: str = ""
    error_stack: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class OutputLine(msgspec.Struct, frozen=True, array_like=True):
    """One log line: of user code, or a lifecycle line."""

    ts: datetime
    level: str
    msg: str


class RecordLine(OutputLine, frozen=True, array_like=True):
    """A log line with fields, which are JSON text of an object."""

    fields: msgspec.Raw


OnLine = Callable[[Assignment, OutputLine], None]
OnOutcome = Callable[[Assignment, AttemptOutcome], None]
OnStarted = Callable[[Assignment, datetime], None]
