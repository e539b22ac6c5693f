"""What a handler is given: the request, its caller and the services, and bounded ways to read the body.

A body is bounded in bytes and in time, whatever its headers claim. Of large bodies each tenant has a few in
memory at once; further ones are not read until one of those is done with.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext, suppress
from typing import IO, ClassVar, Final, Protocol, TypeVar

import msgspec
from starlette.types import Receive, Scope

from runwright.core.errors import MalformedError, RunwrightError, TooLargeError, UnavailableError
from runwright.core.roles import Caller
from runwright.http.large_bodies import SMALL_BODY_BYTES
from runwright.http.response import CONNECTION
from runwright.http.services import EdgeSettings, EdgeState, Services
from runwright.http.validation import Rule, Validator
from runwright.tenants.credential_watch import CallerCredentials
from runwright.tenants.model import ApiKey, KeySession, digest

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")

_JSON: Final = b"application/json"
_DRAIN_FACTOR: Final = 8
_DRAIN_SECONDS: Final = 2.0


class ClientConnection(Protocol):
    """The connection that a request came over."""

    is_lost: bool
    has_whole_body: bool
    """Whether the body of the present request has arrived."""

    def caller_is_known(self) -> None:
        """Keep the connection until the response to the present request is sent."""

    def when_lost(self, act: Callable[[], None]) -> AbstractContextManager[None]:
        """Call a function if the connection is lost in the block, or was before it."""


class SlowRequestError(RunwrightError):
    """The body did not arrive in time."""

    code: ClassVar[str] = "slow"


class Request:
    """One HTTP request. `caller` is set once the route's access rule has passed."""

    __slots__ = (
        "_connection",
        "_declared",
        "_large_body",
        "_receive",
        "caller",
        "edge",
        "headers",
        "key",
        "key_text",
        "raw_body",
        "scope",
        "services",
        "session",
    )

    caller: Caller
    key: ApiKey
    """The key of the caller."""
    session: KeySession | None
    """The session of the caller, where it was not made with a key itself."""
    key_text: str | None
    """The caller's key, where it was made with one."""
    raw_body: bytes
    """The bytes of the body, once it has been read."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        edge: EdgeState,
        declared: tuple[type[msgspec.Struct] | None, type[msgspec.Struct] | None] = (None, None),
    ) -> None:
        """`declared` are the structs of the query and of the body in the route's documentation."""
        self.scope = scope
        self.edge = edge
        self.services: Services = edge.services
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """By lower-case name; of a repeated header the last one."""
        self.session = None
        self.key_text = None
        self._receive = receive
        self._declared = declared
        self._connection: ClientConnection | None = scope.get("extensions", {}).get(CONNECTION)
        self._large_body: AsyncExitStack | None = None

    @property
    def id(self) -> str:
        """The id of the request, as in the response's `x-request-id`."""
        request_id: str = self.scope["state"]["request_id"]
        return request_id

    @property
    def tenant_id(self) -> str:
        """The caller's tenant."""
        return self.caller.tenant_id

    @property
    def credentials(self) -> CallerCredentials:
        """What the caller was authenticated with."""
        session_id = None if self.session is None else self.session.id
        text_digest = None if self.key_text is None else digest(self.key_text)
        return CallerCredentials(key_id=self.caller.key_id, text_digest=text_digest, session_id=session_id)

    @property
    def params(self) -> Mapping[str, str]:
        """The values of the path's parameters."""
        params: dict[str, str] = self.scope["path_params"]
        return params

    @property
    def query_string(self) -> bytes:
        raw: bytes = self.scope["query_string"]
        return raw

    @property
    def is_gone(self) -> bool:
        """Whether the client has left, so that the response cannot be sent."""
        return self._connection is not None and self._connection.is_lost

    async def while_connected(self, work: Awaitable[R]) -> R:
        """Return the result of work that changes nothing; MalformedError as soon as the client has left."""
        loop = asyncio.get_running_loop()
        watched: AbstractContextManager[None] = nullcontext()
        limit = asyncio.timeout(None)
        try:
            async with limit:
                if self._connection is not None:
                    watched = self._connection.when_lost(lambda: limit.reschedule(loop.time()))
                with watched:
                    return await work
        except TimeoutError:
            if limit.expired():
                raise _gone() from None
            raise

    def caller_is_known(self) -> None:
        """Keep the request's connection from being closed for a new one."""
        if self._connection is not None:
            self._connection.caller_is_known()

    async def release_body(self) -> None:
        """Let another large body of the tenant be read: this one is not needed any more."""
        if self._large_body is not None:
            await self._large_body.aclose()

    def query(self, validator: Validator[T]) -> T:
        """Return the validated query, which the route must declare as `query`."""
        _require_declared(validator.struct, self._declared[0])
        return validator.from_query(self.query_string)

    async def body(
        self,
        validator: Validator[T],
        rules: Mapping[str, Rule] | None = None,
        *,
        limit_bytes: int | None = None,
    ) -> T:
        """Return the validated JSON body, which the route must declare as `body`.

        Raises MalformedError for another content type, InvalidError, TooLargeError, SlowRequestError.
        `rules` are those that need the services. With `limit_bytes`, the content type is not checked.
        """
        _require_declared(validator.struct, self._declared[1])
        body = await (self.read_json() if limit_bytes is None else self.read_any(limit_bytes))
        return await self.validate(validator if rules is None else validator.with_rules(rules), body)

    async def validate(self, validator: Validator[T], body: bytes) -> T:
        """Return the validated struct of a JSON body; a large one is validated beside the event loop."""
        tenant_id = self.caller.tenant_id if hasattr(self, "caller") else ""
        if len(body) <= SMALL_BODY_BYTES:
            return validator.from_json(body)
        validated = self.edge.large_bodies.validate(tenant_id, validator.from_json, body)
        return await self.while_connected(validated)

    async def read_json(self) -> bytes:
        """Return the raw body of a request whose content type is JSON; raises as `body` does.

        Without a caller, a body must be small.
        """
        _require_json(self.headers.get(b"content-type", b""))
        limit_bytes = self.edge.settings.body_limit_bytes
        return await self.read_any(limit_bytes if hasattr(self, "caller") else SMALL_BODY_BYTES)

    async def read_any(self, limit_bytes: int) -> bytes:
        """Return the raw body, of any content type; TooLargeError over the limit, SlowRequestError.

        UnavailableError where too many large bodies of the tenant are in memory.
        """
        if hasattr(self, "caller") and self._may_be_large():
            self._large_body = AsyncExitStack()
            turn = self.edge.large_bodies.turn(self.tenant_id)
            try:
                await self.while_connected(self._large_body.enter_async_context(turn))
            except UnavailableError:
                await _drain(self._receive, limit_bytes)
                raise
        if self._connection is not None and self._connection.has_whole_body:
            self.raw_body = await _read(self.headers, self._receive, limit_bytes)
            return self.raw_body
        try:
            async with asyncio.timeout(self.edge.settings.body_seconds):
                self.raw_body = await _read(self.headers, self._receive, limit_bytes)
        except TimeoutError:
            raise _slow() from None
        return self.raw_body

    def _may_be_large(self) -> bool:
        announced = int(self.headers.get(b"content-length", b"0"))
        return announced > SMALL_BODY_BYTES or b"transfer-encoding" in self.headers

    async def spool(self, file: IO[bytes], limit_bytes: int) -> None:
        """Write the body to a file and rewind it; raises as `read_any` does.

        The whole body has `upload_seconds`, each chunk `body_seconds`.
        """
        await _refuse_announced(self.headers, self._receive, limit_bytes)
        settings = self.edge.settings
        try:
            async with asyncio.timeout(settings.upload_seconds):
                size, more = await _copy(self._receive, file, settings, limit_bytes)
        except TimeoutError:
            raise _slow() from None
        if size > limit_bytes:
            if more:
                await _drain(self._receive, limit_bytes)
            raise _too_large(limit_bytes)
        file.seek(0)


def _require_declared(struct: type[msgspec.Struct], declared: type[msgspec.Struct] | None) -> None:
    """Raise TypeError if a handler reads a struct that its route does not document."""
    if struct is not declared:
        raise TypeError(f"The route documents {declared}, but its handler reads {struct}.")


def _require_json(content_type: bytes) -> None:
    if content_type == _JSON:
        return
    kind, _, parameters = content_type.partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    if kind.strip().lower() != _JSON or charset not in {b"", b"charset=utf-8"}:
        raise MalformedError("The content type must be application/json (UTF-8).")


async def _read(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    await _refuse_announced(headers, receive, limit)
    body, more = await _next_chunk(receive)
    if more:
        chunks = [body]
        size = len(body)
        while more and size <= limit:
            body, more = await _next_chunk(receive)
            chunks.append(body)
            size += len(body)
        body = b"".join(chunks)
    if len(body) > limit:
        if more:
            await _drain(receive, _DRAIN_FACTOR * limit)
        raise _too_large(limit)
    return body


async def _copy(receive: Receive, file: IO[bytes], settings: EdgeSettings, limit: int) -> tuple[int, bool]:
    """Write chunks to a file up to the limit; return the bytes received and whether more are to come."""
    size, more = 0, True
    while more and size <= limit:
        async with asyncio.timeout(settings.body_seconds):
            chunk, more = await _next_chunk(receive)
        size += len(chunk)
        file.write(chunk)
    return size, more


async def _refuse_announced(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> None:
    announced = int(headers.get(b"content-length", b"0"))
    if announced > limit:
        if b"expect" not in headers and announced <= _DRAIN_FACTOR * limit:
            await _drain(receive, announced)
        raise _too_large(limit)


async def _drain(receive: Receive, most_bytes: int) -> None:
    """Discard what is still arriving, for a while: a client that is sending does not read the response."""
    more = True
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while more and most_bytes > 0:
                chunk, more = await _next_chunk(receive)
                most_bytes -= len(chunk)


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise _gone()
    return message["body"], message.get("more_body", False)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The request body is over the limit of {limit} bytes.")


def _gone() -> MalformedError:
    return MalformedError("The client went away.")


def _slow() -> SlowRequestError:
    return SlowRequestError("The request body did not arrive in time.")
