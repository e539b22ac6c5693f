"""Tools about workers: what there is, its code, and new versions of it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType
from pathspec import GitIgnoreSpec

from runwright.client import ApiError
from runwright.client.models.workers import WorkerInfo
from runwright.client.upload_rules import NEVER_UPLOADED, PRIVATE_KEY
from runwright.mcp.field_selection import select_fields
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolOutput, ToolResult, rows_that_fit
from runwright.mcp.tools import TOOLS, Parameters, ToolContext, ToolError
from runwright.mcp.windows import Cursor, PageParameters, list_page, position_in, text_part

Worker = Annotated[str, Meta(description="Name or id.")]

_LISTED: Final = ("id", "name", "runtime", "status", "version", "description", "updated_at")
_DETAILS: Final = (
    *_LISTED,
    "runtime_version",
    "entrypoint",
    "config",
    "secrets",
    "timeout_seconds",
    "max_retries",
    "max_concurrency",
    "memory_mb",
    "max_processes",
    "network",
    "input_schema",
)
_MOST_FILES: Final = 200
_SOURCE_BYTES: Final = 13_000
"""How much of an output is kept for settings and source, where there are many files."""
_DEPLOY_SECONDS: Final = 120.0


class ListWorkers(PageParameters, frozen=True, kw_only=True):
    """Which workers."""

    q: Annotated[str, Meta(description="Part of the name.")] | UnsetType = UNSET
    status: Literal["active", "paused", "deprecated"] | UnsetType = UNSET
    runtime: Literal["python", "nodejs", "deno", "shell", "wasm"] | UnsetType = UNSET


@TOOLS.add("List workers")
async def list_workers(context: ToolContext, parameters: ListWorkers) -> ToolResult:
    """List the workers (functions that run as jobs) of the tenant, newest first."""
    which = parameters.given("q", "status", "runtime")
    return await list_page(
        "workers",
        lambda rows: context.api.workers.list(**which, payloads=False, per_page=rows),
        parameters,
        _LISTED,
    )


class GetWorker(Parameters, frozen=True, kw_only=True):
    """Which worker, and which file of it."""

    worker: Worker
    version: Annotated[int, Meta(ge=1, description="By default the one that serves.")] | UnsetType = UNSET
    path: (
        Annotated[str, Meta(description="A file of a version that was uploaded as a bundle.")] | UnsetType
    ) = UNSET
    cursor: Cursor | UnsetType = UNSET


@TOOLS.add("Get a worker and its source")
async def get_worker(context: ToolContext, parameters: GetWorker) -> ToolResult:
    """Get a worker's settings, its files, and its source: that of `path`, by default of its entry point.

    A long source is cut; call again with the cursor for the rest.
    """
    worker = await context.api.workers.get(parameters.worker)
    number = worker.version if parameters.version is UNSET else parameters.version
    version = await context.api.workers.version(worker.id, number)
    files: list[dict[str, Any]] = []
    if version.source_code is None:
        listed = await context.api.workers.version_files(worker.id, number)
        files = [select_fields(file, ("path", "size_bytes")) for file in listed.files[:_MOST_FILES]]
        files = files[: rows_that_fit(files, beside="x" * _SOURCE_BYTES)]
    path = version.entrypoint if parameters.path is UNSET else parameters.path
    source = version.source_code
    if source is None or parameters.path is not UNSET:
        content = await context.api.workers.version_file(worker.id, number, path)
        if content.encoding != "utf-8":
            raise ToolError(f"This file is not text: {content.size_bytes} bytes.")
        source = content.content
    details: dict[str, Any] = {"version": number, "path": path}
    if not position_in(parameters.cursor):
        details = select_fields(worker, _DETAILS) | details | ({"files": files} if files else {})
    part = text_part(source, parameters.cursor, beside=details)
    summary = f"Worker {worker.id}, version {number}; source {part.place}."
    output = ToolOutput(data=details | {"source": part.text}, next_cursor=part.next_cursor)
    return ToolResult(summary, output)


class DeployFiles(Parameters, frozen=True, kw_only=True):
    """Which files, to which worker."""

    worker: Annotated[str, Meta(description="Name. Created if there is none, for which `runtime` is needed.")]
    files: Annotated[dict[str, str], Meta(min_length=1, max_length=100, description="Text by path.")]
    entrypoint: str | UnsetType = UNSET
    runtime: Literal["python", "nodejs", "deno", "shell"] | UnsetType = UNSET
    message: Annotated[str, Meta(max_length=500, description="What changed and why.")] | UnsetType = UNSET


@TOOLS.add("Deploy files", Grant.DEPLOY, destructive=True)
async def deploy_files(context: ToolContext, parameters: DeployFiles) -> ToolResult:
    """Upload files as a new version of a worker, wait for its build, and let it serve.

    Files for secrets and keys (.env, *.key, .npmrc) are refused.
    The answer names the version to roll back to.
    """
    _refuse_secrets(parameters.files)
    found = await _find_worker(context, parameters.worker)
    worker = found or await _new_worker(context, parameters)
    try:
        version = await context.api.workers.deploy(
            worker.id,
            {name: text.encode() for name, text in parameters.files.items()},
            wait=_DEPLOY_SECONDS,
            **parameters.given("entrypoint", "message"),
        )
    except ApiError:
        if found is None:  # a refused upload leaves no worker behind
            await context.api.workers.delete(worker.id)
        raise
    before = worker.version if version.version != worker.version else None
    data = select_fields(version, ("worker_id", "version", "status", "active", "entrypoint", "error"))
    return ToolResult(
        f"Version {version.version} of {worker.id} is {version.status}.",
        ToolOutput(data=data | {"previous_version": before}),
    )


def _refuse_secrets(files: Mapping[str, str]) -> None:
    """Raise ToolError for files that `runwright deploy` never uploads: secrets and keys."""
    never = GitIgnoreSpec.from_lines(NEVER_UPLOADED)
    for path, text in files.items():
        if never.match_file(path) or PRIVATE_KEY.search(text.encode()):
            raise ToolError(
                f"{path[:200]!r} is never uploaded: it is a file for secrets or keys, or holds one. Nothing"
                " was deployed. A person keeps values with `runwright secrets set NAME`."
            )


async def _find_worker(context: ToolContext, name: str) -> WorkerInfo | None:
    try:
        return await context.api.workers.get(name)
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


async def _new_worker(context: ToolContext, parameters: DeployFiles) -> WorkerInfo:
    if parameters.runtime is UNSET:
        raise ToolError("There is no worker of this name. To create it, give its `runtime`.")
    entrypoint = parameters.given("entrypoint")
    definition = {"name": parameters.worker, "runtime": parameters.runtime, **entrypoint}
    await context.api.check({"workers": [{"definition": definition}]})
    return await context.api.workers.create(parameters.worker, parameters.runtime)


class Rollback(Parameters, frozen=True, kw_only=True):
    """Which version."""

    worker: Worker
    version: Annotated[int, Meta(ge=1)]


@TOOLS.add("Roll a worker back", Grant.DEPLOY, destructive=True)
async def rollback(context: ToolContext, parameters: Rollback) -> ToolResult:
    """Let another version of a worker serve, older or newer."""
    before = await context.api.workers.get(parameters.worker)
    worker = await context.api.workers.rollback(before.id, parameters.version)
    data = select_fields(worker, ("id", "name", "version", "status")) | {"previous_version": before.version}
    return ToolResult(
        f"Version {worker.version} of {worker.id} serves; before it was {before.version}.",
        ToolOutput(data=data),
    )
