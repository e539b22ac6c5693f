"""The MCP server of one user, on standard input and output."""

from mcp.server.stdio import stdio_server

from runwright.client import AsyncRunwright
from runwright.client.targets import ServerTarget
from runwright.mcp.dry_run_tokens import DryRunTokens
from runwright.mcp.grants import Grant, ToolPolicy
from runwright.mcp.server import mcp_server
from runwright.mcp.tools import ToolContext


async def serve_stdio(target: ServerTarget, allow: str, *, worker_tools: bool) -> None:
    """Serve with the grant of this name until standard input ends."""
    async with AsyncRunwright.for_target(target) as api, stdio_server() as (incoming, outgoing):
        context = ToolContext(api=api, dry_run_tokens=DryRunTokens(target.credentials))
        server = mcp_server(ToolPolicy(Grant.of(allow), worker_tools), context)
        await server.run(incoming, outgoing, server.create_initialization_options())
