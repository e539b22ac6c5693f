"""`runwright mcp`: the server for language models on standard input and output."""

import asyncio
import importlib
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runwright.cli.remote import Remote, reads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runwright.client.targets import ServerTarget


@reads
def mcp(
    remote: Remote,
    allow: Annotated[
        Literal["read", "run", "deploy"],
        typer.Option(help="What a model may do: read; also run workers; also deploy code."),
    ] = "read",
) -> None:
    """Serve language models by MCP on standard input and output.

    MCP clients start this command; their settings are on the page "Language models" of the documentation.

    Examples:
    $ runwright mcp --profile local --allow run
    """
    serve: Callable[[ServerTarget, str], Coroutine[None, None, None]] = importlib.import_module(
        "runwright.mcp.stdio"
    ).serve_stdio
    asyncio.run(serve(remote.target, allow))
