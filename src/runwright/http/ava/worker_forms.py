"""What requests about workers may hold."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.http.ava.paging import PageQuery
from runwright.http.ava.text import storable_text
from runwright.http.checks import Form, Problem, Rule
from runwright.http.nesting import DEPTH_LIMIT, nests_too_deeply
from runwright.runtimes.model import RuntimeInfo
from runwright.workers.model import NewWorker, RuntimeName, Worker, WorkerChanges, WorkerFilter, WorkerStatus

_NAME_LIMIT: Final = 200
_DESCRIPTION_LIMIT: Final = 2_000
_ENTRYPOINT_LIMIT: Final = 255
_SOURCE_LIMIT: Final = 1024 * 1024
_CONFIG_KEYS: Final = 100
_CONFIG_LIMIT: Final = 64 * 1024
_SECRETS: Final = 50
_HOSTS: Final = 100
_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"^{_LABEL}(\.{_LABEL}){{0,20}}$"
_LONGEST_HOST: Final = 253
_ENV_NAME: Final = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"

_IS_ENV_NAME: Final = re.compile(_ENV_NAME.rstrip("$") + r"\Z")
_IS_HOST: Final = re.compile(_HOST.rstrip("$") + r"\Z")
_HOLDS_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_RESERVED: Final = re.compile(
    r"(?:PATH|HOME|ENV|IFS|SHELL|USER|LOGNAME|PWD|OLDPWD|TMPDIR|TEMP|TMP|LOCPATH|NLSPATH|HOSTALIASES|RES_OPTIONS"
    r"|SHELLOPTS|BASHOPTS|PS4|PROMPT_COMMAND|CDPATH|GLOBIGNORE|OPENSSL_CONF|SSLKEYLOGFILE"
    r"|(?:LD|DYLD|PYTHON|NODE|DENO|WASMTIME|AVA|RUNWRIGHT|BASH|GCONV|GLIBC|MALLOC)(?:_.*)?|PYTHON.*|BASH_.*)"
)

Name = Annotated[
    str,
    Meta(
        description="Human-readable name; surrounding white space is dropped.",
        extra_json_schema={"minLength": 1, "maxLength": _NAME_LIMIT},
    ),
]
Description = Annotated[str, Meta(max_length=_DESCRIPTION_LIMIT, description="What this worker does.")]
Entrypoint = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=_ENTRYPOINT_LIMIT,
        description="Relative file path within the source; default by runtime: index.js, main.py, main.ts, "
        "main.sh, main.wasm.",
    ),
]
SourceCode = Annotated[
    str,
    Meta(
        description="Inline source code, at most 1 MiB in UTF-8.",
        extra_json_schema={"maxLength": _SOURCE_LIMIT},
    ),
]
Config = Annotated[
    dict[str, Any],
    Meta(
        description="Non-secret values injected as environment variables; a value that is no string is "
        "injected as its JSON text. At most 64 KiB as JSON; names the runtimes rely on are reserved.",
        extra_json_schema={"maxProperties": _CONFIG_KEYS, "propertyNames": {"pattern": _ENV_NAME}},
    ),
]
Secrets = Annotated[
    list[str],
    Meta(
        description="Names of secrets to inject.",
        extra_json_schema={
            "maxItems": _SECRETS,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": _ENV_NAME},
        },
    ),
]
TimeoutSeconds = Annotated[int, Meta(ge=1, le=3600, description="Longest run of one attempt.")]
MaxRetries = Annotated[int, Meta(ge=0, le=5, description="Automatic retries after a failure.")]
MaxConcurrency = Annotated[
    int, Meta(ge=1, le=10_000, description="Most jobs of this worker that run at once; null: no limit.")
]
MemoryMb = Annotated[int, Meta(ge=64, le=4096, description="Memory of one sandbox.")]


Host = Annotated[str, Meta(extra_json_schema={"pattern": _HOST})]


class NetworkAllow(msgspec.Struct, forbid_unknown_fields=True):
    """Hosts that the worker may reach."""

    allow: Annotated[list[Host], Meta(max_length=_HOSTS)]


Network = Annotated[
    Literal["none", "public"] | NetworkAllow, Meta(description="What the worker may reach over the network.")
]


class CreateWorkerBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A worker to create."""

    name: Name
    runtime: RuntimeName
    description: Description | None = None
    entrypoint: Entrypoint | None = None
    source_code: SourceCode | None = None
    config: Config = {}
    secrets: Secrets = []
    timeout_seconds: TimeoutSeconds = 300
    max_retries: MaxRetries = 0
    max_concurrency: MaxConcurrency | None = None
    memory_mb: MemoryMb = 256
    network: Network = "public"


class ChangeWorkerBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; fields that are left out stay. `config` is merged, a null value removes its key."""

    name: Name | UnsetType = UNSET
    description: Description | None | UnsetType = UNSET
    status: Literal["active", "paused"] | UnsetType = UNSET
    entrypoint: Entrypoint | UnsetType = UNSET
    source_code: SourceCode | UnsetType = UNSET
    config: Config | UnsetType = UNSET
    secrets: Secrets | UnsetType = UNSET
    timeout_seconds: TimeoutSeconds | UnsetType = UNSET
    max_retries: MaxRetries | UnsetType = UNSET
    max_concurrency: MaxConcurrency | None | UnsetType = UNSET
    memory_mb: MemoryMb | UnsetType = UNSET
    network: Network | UnsetType = UNSET


class WorkerQuery(PageQuery, frozen=True, kw_only=True):
    """Which workers to list."""

    status: Annotated[WorkerStatus, Meta(description="Only workers in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )
    runtime: Annotated[RuntimeName, Meta(description="Only workers of this runtime.")] | UnsetType = field(
        default=UNSET, name="filter[runtime]"
    )
    q: (
        Annotated[str, Meta(max_length=_NAME_LIMIT, description="Part of the name, in any case.")] | UnsetType
    ) = UNSET


def _check_name(name: str) -> Iterable[Problem]:
    if not 1 <= len(name.strip()) <= _NAME_LIMIT:
        yield "", f"Must have 1 to {_NAME_LIMIT} characters."
    yield from storable_text(name)


def _check_entrypoint(path: str) -> Iterable[Problem]:
    parts = path.split("/")
    if "\\" in path or any(part in {"", ".", ".."} for part in parts):
        yield "", "Must be a relative path with forward slashes, without empty, '.' or '..' parts."
    if any(ord(character) < ord(" ") for character in path):
        yield "", "Must not hold control characters."


def _check_source(source: str) -> Iterable[Problem]:
    if len(source) > _SOURCE_LIMIT or len(source.encode()) > _SOURCE_LIMIT:
        yield "", f"Must have at most {_SOURCE_LIMIT} bytes; deploy a bundle for more."
    yield from storable_text(source)


def _check_env_name(name: str) -> str | None:
    if not _IS_ENV_NAME.match(name):
        return "Must be a name of letters, digits and '_' (at most 128), not beginning with a digit."
    if _RESERVED.fullmatch(name):
        return "Is a reserved name."
    return None


def _check_config(config: dict[str, Any]) -> Iterable[Problem]:
    if len(config) > _CONFIG_KEYS:
        yield "", f"Must have at most {_CONFIG_KEYS} keys."
    encoded = msgspec.json.encode(config)
    if len(encoded) > _CONFIG_LIMIT:
        yield "", f"Must have at most {_CONFIG_LIMIT} bytes as JSON."
    if nests_too_deeply(encoded):
        yield "", f"Must not be nested more than {DEPTH_LIMIT} levels deep."
    for key, value in config.items():
        if problem := _check_env_name(key):
            yield key[:_NAME_LIMIT], problem
        if _HOLDS_NUL.search(msgspec.json.encode(value)):
            yield key[:_NAME_LIMIT], "Must not hold the character NUL."


def _check_secrets(names: list[str]) -> Iterable[Problem]:
    if len(names) > _SECRETS:
        yield "", f"Must have at most {_SECRETS} names."
    if len(set(names)) < len(names):
        yield "", "Must not name a secret twice."
    for index, name in enumerate(names):
        if problem := _check_env_name(name):
            yield str(index), problem


def _check_network(network: str | NetworkAllow) -> Iterable[Problem]:
    if isinstance(network, NetworkAllow):
        for index, host in enumerate(network.allow):
            if len(host) > _LONGEST_HOST or not _IS_HOST.match(host):
                yield f"allow.{index}", "Must be a host name."


_RULES: Final[dict[str, Rule]] = {
    "name": _check_name,
    "description": storable_text,
    "entrypoint": _check_entrypoint,
    "source_code": _check_source,
    "config": _check_config,
    "secrets": _check_secrets,
    "network": _check_network,
}
_READ_ONLY: Final = dict.fromkeys(
    ("id", "tenant_id", "version", "created_by", "created_at", "updated_at"), "Is read-only."
)

CREATE_WORKER: Final = Form(
    CreateWorkerBody, _RULES, _READ_ONLY | {"status": "Is read-only here; a new worker is active."}
)
CHANGE_WORKER: Final = Form(ChangeWorkerBody, _RULES, _READ_ONLY | {"runtime": "Cannot be changed."})
LIST_WORKERS: Final = Form(WorkerQuery, {"q": storable_text})


def require_runtime(offered: Callable[[str], RuntimeInfo]) -> Callable[[RuntimeName], Iterable[Problem]]:
    """Return the rule that the host offers the runtime."""

    def check(runtime: RuntimeName) -> Iterable[Problem]:
        info = offered(runtime.value)
        if not info.ready:
            yield "", f"Is not available on this server: {info.reason or 'not installed'}."

    return check


def new_worker(body: CreateWorkerBody) -> NewWorker:
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    config = {key: value for key, value in body.config.items() if value is not None}
    values |= {"name": body.name.strip(), "config": config, "network": msgspec.to_builtins(body.network)}
    return NewWorker(**values)


def worker_changes(body: ChangeWorkerBody) -> WorkerChanges:
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    values = {name: value for name, value in values.items() if value is not UNSET}
    if body.name is not UNSET:
        values["name"] = body.name.strip()
    if body.status is not UNSET:
        values["status"] = WorkerStatus(body.status)
    if body.network is not UNSET:
        values["network"] = msgspec.to_builtins(body.network)
    return WorkerChanges(**values)


def check_merged_config(worker: Worker, changes: WorkerChanges) -> None:
    """Refuse a change after which the whole config would be too large."""
    if changes.config is not UNSET:
        merged = {key: value for key, value in (worker.config | changes.config).items() if value is not None}
        if problems := [message for where, message in _check_config(merged) if not where]:
            raise InvalidError({"config": [f"{message[:-1]} after merging." for message in problems]})


def worker_filter(query: WorkerQuery) -> WorkerFilter:
    return WorkerFilter(
        status=None if query.status is UNSET else query.status,
        runtime=None if query.runtime is UNSET else query.runtime,
        name_contains=None if query.q is UNSET or not query.q else query.q,
    )
