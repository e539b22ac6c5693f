"""What a `runwright.toml` says, as values. The fields of a worker and a schedule are the API's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta

Runtime: TypeAlias = Literal["python", "nodejs", "deno", "shell", "wasm"]

RUNTIMES_BY_SUFFIX: Final[dict[str, Runtime]] = {
    ".py": "python",
    ".js": "nodejs",
    ".cjs": "nodejs",
    ".mjs": "nodejs",
    ".ts": "deno",
    ".sh": "shell",
    ".bash": "shell",
    ".wasm": "wasm",
    ".wat": "wasm",
}
ENTRYPOINTS: Final[dict[str, Runtime]] = {
    "main.py": "python",
    "index.js": "nodejs",
    "main.ts": "deno",
    "main.sh": "shell",
    "main.wasm": "wasm",
}
"""The default entrypoint of each runtime."""

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Text = Annotated[str, Meta(min_length=1)]
_Seconds = Annotated[int, Meta(ge=1, le=3600)]


class AllowedHosts(msgspec.Struct, forbid_unknown_fields=True):
    """Hosts that a worker may reach."""

    allow: list[str]


class ProjectSchedule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A `[[worker.schedule]]`; its name, or else its expression, identifies it."""

    name: _Name | None = None
    cron: _Text
    timezone: _Text = "UTC"
    input: dict[str, Any] = {}
    enabled: bool = True
    catch_up: Literal["none", "last"] = "none"
    overlap: Literal["allow", "skip"] = "allow"
    misfire_grace_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 30
    jitter_seconds: Annotated[int, Meta(ge=0, le=3600)] = 0

    @property
    def label(self) -> str:
        return self.name or self.cron


class ProjectWorker(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A `[[worker]]`: its code and its settings."""

    name: _Name
    path: _Text = "."
    runtime: Runtime | None = None
    runtime_version: Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3})?$")] | None = None
    """Its release line, such as `3.12`; None: the one that the server prefers."""
    entrypoint: _Text | None = None
    description: str | None = None
    timeout_seconds: _Seconds = 300
    memory_mb: Annotated[int, Meta(ge=64, le=4096)] = 256
    max_processes: Annotated[int, Meta(ge=32, le=1024)] | None = None
    """None: as it is on the server, whose default is 128."""
    network: Literal["none", "public"] | AllowedHosts = "public"
    secrets: list[str] = []
    config: dict[str, Any] = {}
    max_retries: Annotated[int, Meta(ge=0, le=5)] = 0
    max_concurrency: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    input_schema: dict[str, Any] | None = None
    include: list[str] = []
    """Patterns of files that uploads usually leave out, such as `node_modules/`."""
    exclude: list[str] = []
    not_secret: list[str] = []
    """Names in `config` that look like secrets and are none."""
    schedule: list[ProjectSchedule] = []


class ProjectWebhook(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A `[[webhook]]`; its URL identifies it."""

    url: _Text
    events: Annotated[list[str], Meta(min_length=1)]


class RetryTable(msgspec.Struct, forbid_unknown_fields=True):
    """The retry policy of an automation."""

    max_retries: int
    base_delay: str = "2s"


class FireLimitTable(msgspec.Struct, forbid_unknown_fields=True):
    """How often an automation may fire."""

    max: int
    window: str


class ProjectAutomation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An `[[automation]]`: a prompt that a schedule fires, or an event. Its name identifies it."""

    name: _Name
    agent: _Text
    prompt: _Text
    schedule: _Text | None = None
    event: _Text | None = None
    filter: dict[str, str] = {}
    workspace: str = ""
    enabled: bool = True
    retry: RetryTable | None = None
    fire_limit: FireLimitTable | None = None
    endpoint_slug: str = ""
    webhook_signature: str = ""


class ProjectEnvironment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An `[env.NAME]`: what differs there. Workers are named: `[env.prod.worker.digest]`."""

    profile: str | None = None
    url: str | None = None
    tenant: str | None = None
    worker: dict[str, dict[str, Any]] = {}
    webhook: list[dict[str, Any]] = []
    automation: list[dict[str, Any]] = []


class ProjectFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The keys at the top of the file."""

    profile: str | None = None
    url: str | None = None
    tenant: str | None = None
    worker: list[dict[str, Any]] = []
    webhook: list[dict[str, Any]] = []
    automation: list[dict[str, Any]] = []
    env: dict[str, dict[str, Any]] = {}


class ProjectPlaces(Protocol):
    """Collects what is wrong with definitions that were read from a file, each with its line there."""

    def add(self, kind: str, number: int, below: Sequence[str | int], message: str) -> None:
        """Note a problem of the definition of a kind (`worker`) with this number, or of what is below it."""

    def line_text(self, kind: str, number: int, below: Sequence[str | int]) -> str:
        """Return the place of a key: `runwright.toml:7: worker[0].secrets`."""

    def raise_if_any(self) -> None:
        """Raise UsageError with all that was added."""


class Project(msgspec.Struct, kw_only=True):
    """A folder that can be deployed."""

    folder: Path
    file: Path | None
    """None where the folder has no `runwright.toml` and its only worker was inferred from its files."""
    workers: list[ProjectWorker]
    webhooks: list[ProjectWebhook] = []
    automations: list[ProjectAutomation] = []
    places: "ProjectPlaces | None" = None
    """Where all of it is in the file; None without one."""
