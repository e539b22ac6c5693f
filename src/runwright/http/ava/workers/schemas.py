"""The schemas of workers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.core.struct_fields import set_fields
from runwright.http.ava.envelopes import PageQuery, Time, read_only
from runwright.http.ava.workers.rules import (
    CONFIG_KEYS,
    DESCRIPTION_LIMIT,
    ENTRYPOINT_LIMIT,
    ENV_NAME,
    HOST,
    NAME_LIMIT,
    SECRETS,
    SOURCE_LIMIT,
    check_config,
    check_entrypoint,
    check_hosts,
    check_input_schema,
    check_name,
    check_secrets,
    check_source,
)
from runwright.http.fields import storable_text, to_out
from runwright.http.validation import Problem, Rule, Validator
from runwright.runtimes.host import RuntimeInfo
from runwright.workers.model import (
    MAX_PROCESSES,
    NewWorker,
    RuntimeName,
    VersionStatus,
    Worker,
    WorkerChanges,
    WorkerStatus,
)

Name = Annotated[
    str,
    Meta(
        description="Human-readable name; surrounding white space is dropped.",
        extra_json_schema={"minLength": 1, "maxLength": NAME_LIMIT},
    ),
]
Description = Annotated[str, Meta(max_length=DESCRIPTION_LIMIT, description="What this worker does.")]
Entrypoint = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ENTRYPOINT_LIMIT,
        description="Relative file path within the source; default by runtime: index.js, main.py, main.ts, "
        "main.sh, main.wasm.",
    ),
]
RuntimeVersion = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,3}(\.[0-9]{1,3})?$",
        description="Release line of the runtime, such as `3.12`, `20` or `2`; null: the one that the server "
        "prefers. `GET /v1/ava/runtimes` lists those that it has.",
        extra_json_schema={"examples": ["3.12"]},
    ),
]
SourceCode = Annotated[
    str,
    Meta(
        description="Inline source code, at most 1 MiB in UTF-8.",
        extra_json_schema={"maxLength": SOURCE_LIMIT},
    ),
]
Config = Annotated[
    dict[str, Any],
    Meta(
        description="Non-secret values injected as environment variables; a value that is no string is "
        "injected as its JSON text. At most 64 KiB as JSON; names the runtimes rely on are reserved.",
        extra_json_schema={"maxProperties": CONFIG_KEYS, "propertyNames": {"pattern": ENV_NAME}},
    ),
]
Secrets = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"pattern": ENV_NAME})]],
    Meta(
        description="Names of secrets to inject.",
        extra_json_schema={
            "maxItems": SECRETS,
            "uniqueItems": True,
        },
    ),
]
TimeoutSeconds = Annotated[int, Meta(ge=1, le=3600, description="The time limit of an attempt.")]
MaxRetries = Annotated[int, Meta(ge=0, le=5, description="The number of automatic retries after a failure.")]
MaxConcurrency = Annotated[
    int, Meta(ge=1, le=10_000, description="The number of its jobs that may run at once; null: no limit.")
]
MemoryMb = Annotated[int, Meta(ge=64, le=4096, description="The memory limit of one sandbox.")]


MaxProcesses = Annotated[
    int,
    Meta(
        ge=32, le=1024, description="The number of processes and threads that one sandbox may have at once."
    ),
]
Host = Annotated[str, Meta(extra_json_schema={"pattern": HOST})]


class NetworkAllow(msgspec.Struct, forbid_unknown_fields=True):
    """The hosts that the worker may connect to."""

    allow: Annotated[list[Host], Meta(max_length=100)]


Network = Annotated[
    Literal["none", "public"] | NetworkAllow,
    Meta(description="What the worker may connect to over the network."),
]


InputSchema = Annotated[
    dict[str, Any],
    Meta(
        description="JSON Schema (2020-12, 2019-09 or draft-07) of the input, at most 32 KiB; inputs that do "
        "not match it are refused when a job is submitted. References to its own definitions only.",
        extra_json_schema={"type": "object"},
    ),
]


class WorkerIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A worker to create."""

    openapi_name: ClassVar[str] = "CreateWorkerBody"

    name: Name
    runtime: RuntimeName
    runtime_version: RuntimeVersion | None = None
    description: Description | None = None
    entrypoint: Entrypoint | None = None
    source_code: SourceCode | None = None
    config: Config = {}
    secrets: Secrets = []
    timeout_seconds: TimeoutSeconds = 300
    max_retries: MaxRetries = 0
    max_concurrency: MaxConcurrency | None = None
    memory_mb: MemoryMb = 256
    max_processes: MaxProcesses = MAX_PROCESSES
    network: Network = "public"
    input_schema: InputSchema | None = None


class WorkerPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields to change; others are left unchanged. `config` is merged: null removes a key."""

    openapi_name: ClassVar[str] = "ChangeWorkerBody"

    name: Name | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    status: Literal["active", "paused"] | UnsetType = UNSET
    entrypoint: Entrypoint | UnsetType = UNSET
    runtime_version: RuntimeVersion | None | UnsetType = UNSET
    source_code: SourceCode | UnsetType = UNSET
    config: Config | UnsetType = UNSET
    secrets: Secrets | UnsetType = UNSET
    timeout_seconds: TimeoutSeconds | UnsetType = UNSET
    max_retries: MaxRetries | UnsetType = UNSET
    max_concurrency: MaxConcurrency | None | UnsetType = UNSET
    memory_mb: MemoryMb | UnsetType = UNSET
    max_processes: MaxProcesses | UnsetType = UNSET
    network: Network | UnsetType = UNSET
    input_schema: InputSchema | None | UnsetType = UNSET


class WorkerQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    status: Annotated[WorkerStatus, Meta(description="Only workers in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )
    runtime: Annotated[RuntimeName, Meta(description="Only workers of this runtime.")] | UnsetType = field(
        default=UNSET, name="filter[runtime]"
    )
    newest_version: (
        Annotated[VersionStatus, Meta(description="Only workers whose newest version is in this state.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[newest_version]")
    q: (
        Annotated[str, Meta(max_length=NAME_LIMIT, description="Part of the name, in any case.")] | UnsetType
    ) = UNSET
    payloads: Annotated[
        bool, Meta(description="`false` leaves out what may be large: `source_code` is null in each worker.")
    ] = True


class WorkerOut(msgspec.Struct, frozen=True, kw_only=True):
    """A worker."""

    id: Annotated[str, Meta(description="`wkr_` and a lower-case ULID.")]
    tenant_id: str
    name: str
    runtime: Annotated[RuntimeName, Meta(description="Fixed when the worker is created.")]
    runtime_version: Annotated[
        str | None,
        Meta(description="The release line that it has chosen; null: the one that the server prefers."),
    ]
    description: str | None
    status: Annotated[WorkerStatus, Meta(description="`paused` and `deprecated` workers accept no new jobs.")]
    version: Annotated[
        int, Meta(description="Counts up with each change of source code, entrypoint or runtime version.")
    ]
    entrypoint: Annotated[str, Meta(description="The file that holds the handler.")]
    source_code: Annotated[
        str | None,
        Meta(description="Null if it was not given as text: the worker has no code yet, or a bundle."),
    ]
    config: Annotated[dict[str, Any], Meta(description="Injected as environment variables.")]
    secrets: Annotated[list[str], Meta(description="Names only; values are never shown.")]
    timeout_seconds: Annotated[int, Meta(description="The time limit of an attempt.")]
    max_retries: Annotated[int, Meta(description="The number of automatic retries after a failure.")]
    max_concurrency: Annotated[
        int | None, Meta(description="The number of its jobs that may run at once; null: no limit.")
    ]
    memory_mb: Annotated[int, Meta(description="The memory limit of one sandbox.")]
    max_processes: Annotated[
        int, Meta(description="The number of processes and threads that one sandbox may have at once.")
    ]
    network: Annotated[Any, Meta(description='`none`, `public` or `{"allow": [hosts]}`.')]
    input_schema: Annotated[
        dict[str, Any] | None, Meta(description="JSON Schema of the input; null: any JSON object.")
    ]
    created_by: Annotated[str, Meta(description="The user or the key that created it.")]
    created_at: Time
    updated_at: Time


def _check_network(network: str | NetworkAllow) -> Iterable[Problem]:
    return () if isinstance(network, str) else check_hosts(network.allow)


_RULES: Final[dict[str, Rule]] = {
    "name": check_name,
    "description": storable_text,
    "entrypoint": check_entrypoint,
    "source_code": check_source,
    "config": check_config,
    "secrets": check_secrets,
    "network": _check_network,
    "input_schema": check_input_schema,
}
_READ_ONLY: Final = read_only(WorkerIn, WorkerOut)

CREATE_WORKER: Final = Validator(
    WorkerIn, _RULES, _READ_ONLY | {"status": "Is read-only here; a new worker is active."}
)
CHANGE_WORKER: Final = Validator(WorkerPatch, _RULES, _READ_ONLY | {"runtime": "Cannot be changed."})
LIST_WORKERS: Final = Validator(WorkerQuery, {"q": storable_text})


def require_runtime(runtimes: Mapping[str, RuntimeInfo]) -> Callable[[RuntimeName], Iterable[Problem]]:
    """Return the rule that the runtime is available on this server."""

    def check(runtime: RuntimeName) -> Iterable[Problem]:
        if not runtimes[runtime.value].ready:
            yield "", _unavailable(runtimes[runtime.value])

    return check


def require_ready(runtime: RuntimeInfo) -> None:
    """Raise InvalidError, which names `runtime`, where that of a worker is not available on this server."""
    if not runtime.ready:
        raise InvalidError({"runtime": [_unavailable(runtime)]})


def _unavailable(runtime: RuntimeInfo) -> str:
    return f"Is not available on this server: {runtime.reason}."


def require_version(runtime: RuntimeInfo, line: str | None | UnsetType) -> None:
    """Raise InvalidError where workers of this runtime cannot choose that release line on this server."""
    lines = [one.runtime_version for one in runtime.versions]
    if isinstance(line, str) and line not in lines:
        offered = f"{runtime.name} has {', '.join(lines)}" if lines else f"{runtime.name} has none to choose"
        raise InvalidError({"runtime_version": [f"Is not available on this server: {offered}."]})


def new_worker(body: WorkerIn) -> NewWorker:
    config = {key: value for key, value in body.config.items() if value is not None}
    changed = {"name": body.name.strip(), "config": config, "network": msgspec.to_builtins(body.network)}
    return NewWorker(**set_fields(body) | changed)


def worker_changes(body: WorkerPatch) -> WorkerChanges:
    values = set_fields(body)
    if body.name is not UNSET:
        values["name"] = body.name.strip()
    if body.status is not UNSET:
        values["status"] = WorkerStatus(body.status)
    if body.network is not UNSET:
        values["network"] = msgspec.to_builtins(body.network)
    return WorkerChanges(**values)


def check_whole_config(worker: Worker) -> None:
    """Raise InvalidError if a worker's config has become too large by merging."""
    if problems := [message for where, message in check_config(worker.config) if not where]:
        raise InvalidError({"config": [f"{message[:-1]} after merging." for message in problems]})


def worker_out(worker: Worker) -> WorkerOut:
    """Return a worker as the API shows it: its version is 1 also until its first code serves."""
    return to_out(WorkerOut, worker, version=max(worker.version, 1))
