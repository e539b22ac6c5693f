"""`/mcp`: the MCP server over streamable HTTP.

Stateless: every request brings its key and is answered alone, so any process can answer it and nothing is
kept between requests. Tools call the API in this process, with the headers that the request brought, so its
checks and limits are those of any other request. `Host` and `Origin` are checked, as a web page may make a
browser call a server of its machine.

The MCP library and the tools make objects of what tenants have written, which takes the longer the more there
are. So they run in a thread with an event loop of its own, a few requests of each tenant at once; the API is
called in the loop of the server.
"""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from threading import Thread
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

import httpx
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwright.client import ApiError, AsyncRunwright, ClientError
from runwright.client.asynchronous import AsyncTransport
from runwright.client.session import Credentials
from runwright.client.targets import ServerTarget
from runwright.core.json_text import outside_strings
from runwright.mcp.dry_run_tokens import DryRunTokens
from runwright.mcp.grants import Grant, ToolPolicy
from runwright.mcp.server import mcp_server
from runwright.mcp.tools import ToolContext

BODY_LIMIT_BYTES: Final = 512 * 1024
BODY_SECONDS: Final = 30.0
"""How long the body of a request may take to arrive."""

MOST_VALUES: Final = 20_000
"""Values and names in the JSON of a request."""

AT_ONCE_PER_TENANT: Final = 4
T = TypeVar("T")

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


class _ToolThread:
    """A thread with an event loop, started by the first call. It ends with the process."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of a coroutine that runs in the thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            Thread(target=self._loop.run_forever, name="mcp", daemon=True).start()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))


class _HomeTransport(httpx.AsyncBaseTransport):
    """Makes requests in another event loop, in which the API is."""

    def __init__(self, transport: httpx.ASGITransport, home: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._home = home

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, whose whole body has arrived."""
        sent = asyncio.run_coroutine_threadsafe(self._transport.handle_async_request(request), self._home)
        return await asyncio.wrap_future(sent)


class McpEndpoint:
    """The ASGI application of `/mcp`."""

    def __init__(self, api: ASGIApp, policy: ToolPolicy, hosts: HostPolicy) -> None:
        self._api = api
        self._policy = policy
        self._hosts = hosts
        self._thread = _ToolThread()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        # The API is called without a network, by the name that was just checked, as it checks that too.
        target = ServerTarget(url=f"http://{headers['host']}", credentials=_credentials(headers))
        inside = self._transport(scope)
        try:
            client = _client(target, inside)
        except ClientError as error:  # a header that cannot be one
            await _error(HTTPStatus.BAD_REQUEST, error.message)(scope, receive, send)
            return
        async with client as api:
            tenant_id = await _tenant_of(api)
        if isinstance(tenant_id, Response):
            await tenant_id(scope, receive, send)
            return
        async with self._turns.setdefault(tenant_id, asyncio.Semaphore(AT_ONCE_PER_TENANT)):
            body = await read_body(receive)
            if isinstance(body, Response):
                await body(scope, receive, send)
                return
            home = _HomeTransport(inside, asyncio.get_running_loop())
            messages = await self._thread.run(lambda: self._answer(target, home, scope, body))
        for message in messages:
            await send(message)

    async def _answer(
        self, target: ServerTarget, home: httpx.AsyncBaseTransport, scope: Scope, body: bytes
    ) -> list[Message]:
        """Return the messages that answer a request; runs in the thread."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        async with _client(target, home) as api:
            context = ToolContext(api=api, dry_run_tokens=DryRunTokens(target.credentials))
            await self._serve(context, scope, _replayed(body), keep)
        return messages

    async def _serve(self, context: ToolContext, scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(
            mcp_server(self._policy, context),
            json_response=True,
            stateless=True,
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    def _transport(self, scope: Scope) -> httpx.ASGITransport:
        address = scope.get("client") or ("127.0.0.1", 0)
        return httpx.ASGITransport(self._api, raise_app_exceptions=False, client=(address[0], address[1]))

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


def _client(target: ServerTarget, inside: httpx.AsyncBaseTransport) -> AsyncRunwright:
    transport = AsyncTransport(target.url, httpx.AsyncClient(transport=inside))
    return AsyncRunwright.for_target(target, retries=0, transport=transport)


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
    if _has_many_values(body):
        return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request has too many values.")
    return body


def _has_many_values(body: bytes) -> bool:
    """Return whether JSON has more values and names than a request may have."""
    # Strings alone may be too many; taking them out to see that would hold the event loop.
    if body.count(b'"') - body.count(b'\\"') > 2 * MOST_VALUES:
        return True
    bare = outside_strings(body)
    return sum(map(bare.count, (b",", b":", b"[", b"{"))) > MOST_VALUES


def _replayed(body: bytes) -> Receive:
    """Return what receives a body that was read, and then nothing."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return replay


async def _tenant_of(api: AsyncRunwright) -> str | Response:
    """Return the tenant of a key, or the answer to one that the API does not accept."""
    try:
        return (await api.whoami()).tenant_id
    except ApiError as error:
        headers = {"www-authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
        if error.retry_after is not None:
            headers["retry-after"] = str(round(error.retry_after))
        return _error(error.status, error.message, headers)
    except ClientError as error:
        return _error(HTTPStatus.BAD_REQUEST, error.message)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the form of JSON-RPC."""
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": message}}
    return JSONResponse(body, status, headers)
