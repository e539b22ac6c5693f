"""Workers as tools of their own: those with a description and an input schema, where the operator allows it.

Their descriptions and schemas are written by those who may deploy, and a model reads them as part of its
instructions. So this is off by default, needs the grant `run`, and is bounded in number and size.
"""

import re
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

import msgspec

from runwright.client.models.workers import WorkerInfo
from runwright.mcp.jobs import RunWorker, run_worker
from runwright.mcp.results import ToolResult, cut
from runwright.mcp.tools import ToolContext, ToolError

PREFIX: Final = "worker_"
MOST_TOOLS: Final = 20
MOST_WORKERS: Final = 500
"""How many workers are looked at, newest first."""

SCHEMA_LIMIT_BYTES: Final = 4_000
_LONGEST_DESCRIPTION: Final = 500
_LONGEST_NAME: Final = 40
_UNNAMEABLE: Final = re.compile(r"[^a-z0-9]+")


class WorkerTool(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that is a tool."""

    name: str
    worker_id: str
    description: str
    input_schema: dict[str, Any]


async def list_worker_tools(context: ToolContext) -> list[WorkerTool]:
    """Return the workers of the caller that are tools; each has a name of its own."""
    found: dict[str, WorkerTool] = {}
    async for worker in _described(context):
        name = _name_of(worker, taken=found.keys())
        found[name] = WorkerTool(
            name=name,
            worker_id=worker.id,
            description=cut(worker.description or "", _LONGEST_DESCRIPTION),
            input_schema=worker.input_schema if isinstance(worker.input_schema, dict) else {},
        )
        if len(found) == MOST_TOOLS:
            break
    return list(found.values())


async def call_worker_tool(context: ToolContext, name: str, arguments: dict[str, Any]) -> ToolResult:
    """Run the worker of a tool with the arguments as its input. ToolError if it is none."""
    for tool in await list_worker_tools(context):
        if tool.name == name:
            return await run_worker(context, RunWorker(worker=tool.worker_id, input=arguments))
    raise ToolError(f"There is no worker that is the tool {name[:100]!r}.")


async def _described(context: ToolContext) -> AsyncIterator[WorkerInfo]:
    looked_at = 0
    async for worker in context.api.workers.list(status="active", payloads=False):
        looked_at += 1
        if looked_at > MOST_WORKERS:
            return
        schema = worker.input_schema
        described = worker.description and isinstance(schema, dict) and schema.get("type") == "object"
        if described and len(msgspec.json.encode(schema)) <= SCHEMA_LIMIT_BYTES:
            yield worker


def _name_of(worker: WorkerInfo, *, taken: Collection[str]) -> str:
    base = PREFIX + (_UNNAMEABLE.sub("_", worker.name.lower()).strip("_")[:_LONGEST_NAME] or "unnamed")
    return base if base not in taken else f"{base}_{worker.id[-6:].lower()}"
