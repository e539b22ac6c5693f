"""Sessions of the official MCP client, over both transports."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from tests.contract.conftest import Server, shared_servers

from runwright import Runwright

OpenSession = Callable[[str, str], AbstractAsyncContextManager[ClientSession]]
"""Opens a session with the server at a URL, with a key; everything is allowed."""


@pytest.fixture(scope="module")
def deploy_server() -> Server:
    """A server that lets models do everything."""
    return shared_servers.get(RUNWRIGHT_MCP="deploy")


@pytest.fixture
def key(deploy_server: Server) -> str:
    """Return a key of a fresh tenant."""
    return key_of(deploy_server, f"ten_{uuid4().hex}")


@pytest.fixture
def rw(deploy_server: Server, key: str) -> Iterator[Runwright]:
    with Runwright(deploy_server.url, key) as client:
        yield client


def key_of(server: Server, tenant: str, role: str = "tenant-system-admin") -> str:
    return server.run("keys", "create", "--tenant", tenant, "--role", role)


@asynccontextmanager
async def over_http(url: str, key: str) -> AsyncIterator[ClientSession]:
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(headers=headers, trust_env=False, timeout=90) as http,
        streamable_http_client(f"{url}/mcp", http_client=http) as (incoming, outgoing, _),
        ClientSession(incoming, outgoing) as session,
    ):
        await session.initialize()
        yield session


@asynccontextmanager
async def over_stdio(url: str, key: str, *arguments: str) -> AsyncIterator[ClientSession]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
    parameters = StdioServerParameters(
        command=str(Path(sys.executable).with_name("runwright")),
        args=["mcp", *(arguments or ("--allow", "deploy"))],
        env=environment | {"RUNWRIGHT_URL": url, "RUNWRIGHT_API_KEY": key},
    )
    async with stdio_client(parameters) as (incoming, outgoing), ClientSession(incoming, outgoing) as session:
        await session.initialize()
        yield session
