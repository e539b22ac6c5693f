"""The MCP server of one user, on standard input and output."""

from mcp.server.stdio import stdio_server

from runwright.client import AsyncRunwright
from runwright.client.targets import ServerTarget
from runwright.mcp.grants import Allowance, DryRuns, Grant
from runwright.mcp.server import mcp_server
from runwright.mcp.tools import Invocation


async def serve_stdio(target: ServerTarget, allow: str, *, worker_tools: bool) -> None:
    """Serve with the grant of this name until standard input ends."""
    async with AsyncRunwright.for_target(target) as api, stdio_server() as (incoming, outgoing):
        call = Invocation(api=api, dry_runs=DryRuns(target.credentials.api_key or ""))

        async def open_call() -> Invocation:
            return call

        server = mcp_server(Allowance(Grant.of(allow), worker_tools), open_call)
        await server.run(incoming, outgoing, server.create_initialization_options())
