"""`/mcp`: the MCP server over streamable HTTP.

Stateless: every request brings its key and is answered alone, so any process can answer it and nothing is
kept between requests. Tools call the API in this process, with the headers that the request brought, so its
checks and limits are those of any other request. `Host` and `Origin` are checked, as a web page may make a
browser call a server of its machine.
"""

import asyncio
from http import HTTPStatus
from typing import Final, Protocol

import httpx
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwright.client import ApiError, AsyncRunwright, ClientError
from runwright.client.asynchronous import AsyncTransport
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget
from runwright.mcp.dry_run_tokens import DryRunTokens
from runwright.mcp.grants import Grant, ToolPolicy
from runwright.mcp.server import mcp_server
from runwright.mcp.tools import ToolContext

BODY_LIMIT_BYTES: Final = 512 * 1024
BODY_SECONDS: Final = 30.0
"""How long the body of a request may take to arrive."""

_INSIDE: Final = "http://runwright.internal"
"""The address of this process's API, which is called without a network."""

_BEARER: Final = "bearer "
_WRONG_HOST: Final = "This server is not called {host!r} here; add the name to the setting `allowed_hosts`."
_WRONG_ORIGIN: Final = "Web pages of this origin may not call the MCP server."
_NO_KEY: Final = "The header `Authorization: Bearer <API key>` is required."


class HostPolicy(Protocol):
    """Which host names are this server's, and which web pages may call it."""

    def is_own_host(self, host: str) -> bool:
        """Return whether the header `Host` names this server."""

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Return whether web pages of this origin may call it."""


class McpEndpoint:
    """The ASGI application of `/mcp`."""

    def __init__(self, api: ASGIApp, policy: ToolPolicy, hosts: HostPolicy) -> None:
        self._api = api
        self._policy = policy
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        target = ServerTarget(url=_INSIDE, credentials=_credentials(headers))
        try:
            client = self._client(target, scope)
        except ClientError as error:  # a header that cannot be one
            await _error(HTTPStatus.BAD_REQUEST, error.message)(scope, receive, send)
            return
        async with client as api:
            refusal = await _key_refusal(api)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
            context = ToolContext(api=api, dry_run_tokens=DryRunTokens(target.credentials.api_key or ""))
            body = await read_body(receive)
            if isinstance(body, Response):
                await body(scope, receive, send)
            else:
                await self._serve(context, scope, _replayed(body, receive), send)

    async def _serve(self, context: ToolContext, scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(
            mcp_server(self._policy, context),
            json_response=True,
            stateless=True,
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    def _client(self, target: ServerTarget, scope: Scope) -> AsyncRunwright:
        address = scope.get("client") or ("127.0.0.1", 0)
        inside = httpx.ASGITransport(self._api, raise_app_exceptions=False, client=(address[0], address[1]))
        transport = AsyncTransport(_INSIDE, httpx.AsyncClient(transport=inside))
        return AsyncRunwright.for_target(target, retries=0, transport=transport)

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        """Return the answer to a request that is none of a client of this server, or None."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._hosts.is_own_host(host):
            return _error(HTTPStatus.MISDIRECTED_REQUEST, _WRONG_HOST.format(host=host[:100]))
        if origin is not None and not self._hosts.is_own_origin(origin, host):
            return _error(HTTPStatus.FORBIDDEN, _WRONG_ORIGIN)
        if method != "POST":
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, "Send messages by POST.", {"allow": "POST"})
        if not headers.get("authorization", "").lower().startswith(_BEARER):
            return _error(HTTPStatus.UNAUTHORIZED, _NO_KEY, {"www-authenticate": "Bearer"})
        return None


def open_endpoint(api: ASGIApp, hosts: HostPolicy, *, allow: str, worker_tools: bool) -> McpEndpoint:
    """Return the endpoint for the settings `mcp` and `mcp_worker_tools`."""
    return McpEndpoint(api, ToolPolicy(Grant.of(allow), worker_tools), hosts)


def _credentials(headers: Headers) -> Credentials:
    return Credentials(
        api_key=headers["authorization"][len(_BEARER) :].strip(),
        tenant=headers.get("x-tenant-id"),
        user=headers.get("x-user-id"),
        role=headers.get("x-platform-role"),
    )


async def read_body(receive: Receive) -> bytes | Response:
    """Return the body of a request, or the answer to one that is too long or too slow."""
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > BODY_LIMIT_BYTES:
                    return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too long.")
    except TimeoutError:
        return _error(HTTPStatus.REQUEST_TIMEOUT, "The request body did not arrive in time.")
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body that was read, and then what follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _key_refusal(api: AsyncRunwright) -> Response | None:
    """Return the answer to a key that the API does not accept, or None."""
    try:
        await api.whoami()
    except ApiError as error:
        headers = {"www-authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
        if error.retry_after is not None:
            headers["retry-after"] = str(round(error.retry_after))
        return _error(error.status, error.message, headers)
    except ClientError as error:
        return _error(HTTPStatus.BAD_REQUEST, error.message)
    return None


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the form of JSON-RPC."""
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": message}}
    return JSONResponse(body, status, headers)
