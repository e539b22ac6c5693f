"""Routes as data: the router, the authorization and the OpenAPI documents are all made from them.

A resource declares its routes in a `Routes` table. A handler takes a `Request` and returns the struct
of a success, a `Reply` with another status, a Starlette response, or None for 204. Paths match with and
without a slash at the end.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwright.core.roles import Caller, KeyScope, Role
from runwright.http.errors import ErrorTable
from runwright.http.request import Request
from runwright.http.response import EVENT_STREAM, JSON, Reply, is_held_whole, struct_response
from runwright.http.services import EdgeState
from runwright.http.validation import Validator

Handler = Callable[[Request], Awaitable[object]]
H = TypeVar("H", bound=Handler)

_OK: Final = 200
_CREATED: Final = 201
_NO_CONTENT: Final = 204
_CURSOR: Final = "cursor"
_STATUSES: Final = {"POST": _CREATED, "DELETE": _NO_CONTENT}
_SLASHES: Final = re.compile("/{2,}")
_HOST: Final = re.compile(rb"[0-9A-Za-z!$&'()*+,;=\-._~:\[\]@%]*")


class NoQuery(msgspec.Struct, frozen=True):
    """No parameters at all."""


_NO_QUERY: Final = Validator(NoQuery)


class Access(ABC):
    """Who may call a route: authenticates the caller, and requires a role and a scope of the key."""

    def __init__(self, role: Role, scope: KeyScope | None) -> None:
        """`scope`: which scope the caller's key must have; None: any key will do."""
        self.role = role
        self.scope = scope

    @abstractmethod
    async def __call__(self, request: Request) -> Caller:
        """Return the caller, or raise the error that refuses the request."""


class Precondition(Protocol):
    """What is checked before a request of a route without a key is handled."""

    async def __call__(self, request: Request) -> None:
        """Raise the error that refuses the request."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes of one API have in common."""

    prefix: str
    """Paths below it that do not exist are answered with this dialect's 404."""
    errors: ErrorTable
    media_type: str = JSON
    strict_query: bool = False
    """Whether parameters of the query that a route does not declare are refused."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API."""

    dialect: Dialect
    method: str
    path: str
    """With parameters in braces: `/v1/ava/jobs/{job_id}`."""
    handler: Handler
    """Its return type is the type of a success, its docstring the description."""
    access: Access | None
    """None: no key is needed."""
    precondition: Precondition | None = None
    summary: str = ""
    """Empty: the operation is not documented."""
    tag: str = ""
    status: int = _OK
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    """Statuses beyond those that every route of the dialect may answer with."""
    idempotent: bool = False
    """Takes an Idempotency-Key, and answers 200 if it is replayed."""
    produces: str = JSON
    """The media type of a success: JSON, or a stream of events."""
    content: dict[str, Any] | None = None
    """The schemas of bodies that are not JSON, by content type."""
    unchanged: str | None = None
    """What a 200 in place of a 201 means."""
    example: dict[str, Any] | None = None
    """A body."""
    headers: tuple[dict[str, Any], ...] = ()
    """The headers that it reads beyond those of every operation, as the document describes them."""

    @property
    def reads_pages(self) -> bool:
        """Whether it answers with a page of a list, which may be large."""
        return self.method == "GET" and self.query is not None and _CURSOR in self.query.__struct_fields__


class Routes(list[Route]):
    """The routes of a resource, which share a dialect, a path and a tag."""

    def __init__(self, dialect: Dialect, path: str, *, tag: str = "") -> None:
        super().__init__()
        self._dialect = dialect
        self._path = path
        self._tag = tag

    def add(
        self,
        method: str,
        path: str,
        access: Access | None,
        summary: str = "",
        **options: Any,  # noqa: ANN401  the fields of Route, which checks them
    ) -> Callable[[H], H]:
        """Return a decorator that adds a handler; `options` are further fields of its `Route`.

        The default status is 201 for POST, 204 for DELETE, else 200.
        """
        fields: dict[str, Any] = {"tag": self._tag, "status": _STATUSES.get(method, _OK), **options}

        def decorate(handler: H) -> H:
            self.append(
                Route(
                    dialect=self._dialect,
                    method=method,
                    path=self._path + path,
                    handler=handler,
                    access=access,
                    summary=summary,
                    **fields,
                )
            )
            return handler

        return decorate


class _Operation:
    """Answers the requests of one route: authorization, handler, encoding and errors."""

    def __init__(self, route: Route, edge: EdgeState) -> None:
        self._route = route
        self._edge = edge
        self._declared = (route.query, route.body)
        self._reads_pages = route.reads_pages
        self._refuses_query = route.dialect.strict_query and route.query is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, self._edge, self._declared)
        if not self._reads_pages:
            response = await self._respond(request, None)
            await response(scope, receive, send)
            return
        async with AsyncExitStack() as turn:
            response = await self._respond(request, turn)
            if not is_held_whole(response):
                await turn.aclose()
            await response(scope, receive, send)

    async def _respond(self, request: Request, turn: AsyncExitStack | None) -> Response:
        """Return the response. `turn` takes the turn of a route that reads pages."""
        try:
            return await self._handle(request, turn)
        except Exception as error:  # noqa: BLE001  the last resort, which logs unknown errors
            return respond_to_error(self._route.dialect, error, request.id, self._edge)
        finally:
            await request.release_body()

    async def _handle(self, request: Request, turn: AsyncExitStack | None) -> Response:
        route = self._route
        if route.access is not None:
            request.caller = await route.access(request)
            request.caller_is_known()
            if turn is not None:
                page = self._edge.page_turns.turn(request.tenant_id)
                await request.while_connected(turn.enter_async_context(page))
        if route.precondition is not None:
            await route.precondition(request)
        if self._refuses_query and request.query_string:
            _NO_QUERY.from_query(request.query_string)
        result = await route.handler(request)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status_code=route.status)
        if isinstance(result, Reply):
            return await _reply(result, route)
        return await struct_response(result, route.status, route.dialect.media_type)


async def _reply(reply: Reply[object], route: Route) -> Response:
    if reply.result is None:
        return Response(status_code=reply.status, headers=reply.headers)
    media_type = route.dialect.media_type
    return await struct_response(reply.result, reply.status, media_type, reply.headers, reply.late_rows)


class _Path:
    """The operations of one path by method; answers OPTIONS, and 405 for other methods.

    HEAD is GET without the body, but for streams, which would not end.
    """

    def __init__(self, path: str, routes: Sequence[Route], edge: EdgeState) -> None:
        self.path = path
        self._pattern = compile_path(path)[0]
        self._operations: dict[str, ASGIApp] = {route.method: _Operation(route, edge) for route in routes}
        heads = any(route.method == "GET" and route.produces != EVENT_STREAM for route in routes)
        if heads and "HEAD" not in self._operations:
            self._operations["HEAD"] = _head(self._operations["GET"])
        self._allow = ", ".join(sorted({*(route.method for route in routes), "OPTIONS"}))

    def parameters(self, path: str) -> dict[str, str] | None:
        """Return the values of the path's parameters; None for another path."""
        found = self._pattern.match(path)
        return None if found is None else found.groupdict()

    def operation(self, method: str) -> ASGIApp:
        """Return what answers a method, or raise HTTPException."""
        operation = self._operations.get(method)
        if operation is not None:
            return operation
        if method == "OPTIONS":
            return Response(status_code=_NO_CONTENT, headers={"allow": self._allow})
        raise HTTPException(405, headers={"allow": self._allow})


def _head(get: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await get(scope, receive, _without_body(send))

    return app


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


class SegmentRouter:
    """Finds the route of a request by an index, so that it meets only those of its literal prefix."""

    def __init__(self, routes: Iterable[Route], edge: EdgeState, dialects: Sequence[Dialect]) -> None:
        """The first of the dialects whose prefix a path has formats its routing errors."""
        by_path: dict[str, list[Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, []).append(route)
        paths = [_Path(path, found, edge) for path, found in by_path.items()]
        self._edge = edge
        self._dialects = dialects
        self._literal = {path.path: path for path in paths if "{" not in path.path}
        self._by_prefix: dict[str, list[_Path]] = {}
        for path in paths:
            if "{" in path.path:
                prefix = path.path.partition("/{")[0]
                self._by_prefix.setdefault(prefix, []).append(path)
        self._deepest = max((prefix.count("/") for prefix in self._by_prefix), default=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in self._literal:
            path = scope["path"] = _SLASHES.sub("/", f"/{path.strip('/')}")
        try:
            app = self._find(path, scope)
        except HTTPException as error:
            app = respond_to_error(self._dialect(path), error, scope["state"]["request_id"], self._edge)
        await app(scope, receive, send)

    def _find(self, path: str, scope: Scope) -> ASGIApp:
        """Return what answers a request, or raise HTTPException."""
        _require_valid_host(scope)
        found = self._literal.get(path)
        parameters: dict[str, str] | None = {}
        if found is None:
            for found in self._candidates(path):
                if (parameters := found.parameters(path)) is not None:
                    break
            else:
                raise HTTPException(404)
        operation = found.operation(scope["method"])
        scope["path_params"] = parameters
        scope["path_template"] = found.path
        return operation

    def _candidates(self, path: str) -> Sequence[_Path]:
        """Return the routes with the longest literal prefix of a path, which may have many thousand parts."""
        parts = path.split("/", self._deepest + 1)
        while parts:
            parts.pop()
            prefix = "/".join(parts)
            if prefix in self._by_prefix:
                return self._by_prefix[prefix]
        return ()

    def _dialect(self, path: str) -> Dialect:
        for dialect in self._dialects:
            if f"{path}/".startswith(dialect.prefix):
                return dialect
        return self._dialects[-1]


def respond_to_error(dialect: Dialect, error: Exception, request_id: str, edge: EdgeState) -> Response:
    """Return the response for an error in the dialect's format."""
    return dialect.errors.respond(
        error, request_id=request_id, public_url=edge.settings.public_url, emit=edge.services.emit
    )


def _require_valid_host(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"host":
            if not _HOST.fullmatch(value):
                raise HTTPException(400)
            return
