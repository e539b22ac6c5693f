"""`runwright mcp`: the server for language models on standard input and output."""

import asyncio
import importlib
from typing import Annotated, Literal

import typer

from runwright.cli.remote import Remote, connects


@connects
def mcp(
    remote: Remote,
    *,
    allow: Annotated[
        Literal["read", "run", "deploy"],
        typer.Option(help="What a model may do: read; also run workers; also deploy code."),
    ] = "read",
    worker_tools: Annotated[
        bool,
        typer.Option(
            "--worker-tools",
            help="Make workers with a description and an input schema tools of their own.",
        ),
    ] = False,
) -> None:
    """Serve language models by MCP on standard input and output.

    MCP clients start this command; their settings are on the page "Language models" of the documentation.

    Examples:
    $ runwright mcp --profile local --allow run
    """
    serve = importlib.import_module("runwright.mcp.stdio").serve_stdio
    asyncio.run(serve(remote.target, allow, worker_tools=worker_tools))
