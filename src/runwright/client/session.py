"""Calls of a server: credentials, retries, envelopes and streams, written once for both transports."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar, Unpack

import msgspec

from runwright import __version__
from runwright.client.errors import ApiError, SetupError, Unreachable, api_error
from runwright.client.json_values import encode_json
from runwright.client.messages import ApiRequest, ApiResponse, UploadProgress, fill, query_of
from runwright.client.models.base import Info, decode_info
from runwright.client.retries import retry_seconds

if TYPE_CHECKING:
    from runwright.client.http_library import ServerSentEvent
    from runwright.client.transports import Transport

I = TypeVar("I", bound=Info)  # noqa: E741  of Info

SILENCE_SECONDS: Final = 45.0
"""A stream that is silent for longer is opened anew; the server sends a comment every 15 s."""

_REDIRECTS: Final = 300
_AVALA: Final = "/api/v1/"
_JSON: Final = "application/json"
_DATA: Final = "data"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """As whom to call. Only a platform key needs more than the key."""

    api_key: str | None = None
    tenant: str | None = None
    user: str | None = None
    role: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(tenant={self.tenant!r}, user={self.user!r}, role={self.role!r})"

    def headers(self) -> dict[str, str]:
        """Return the headers of a request."""
        given = {
            "authorization": None if self.api_key is None else f"Bearer {self.api_key}",
            "x-tenant-id": self.tenant,
            "x-user-id": self.user,
            "x-platform-role": self.role,
        }
        for name, value in given.items():
            if value is not None and not (value.isascii() and value.isprintable()):
                raise SetupError(f"The {_WORDS[name]} has characters that no header can have.")
        return {name: value for name, value in given.items() if value is not None}


_WORDS: Final = {
    "authorization": "API key",
    "x-tenant-id": "tenant",
    "x-user-id": "user",
    "x-platform-role": "role",
}


class RequestParts(TypedDict, total=False):
    """What a request may have beside its route."""

    query: Mapping[str, object] | None
    json: object
    body: bytes | None
    content_type: str | None
    """Of the body, by default JSON."""
    headers: Mapping[str, str] | None
    wait: float
    """For how long the server may take to answer by design."""
    progress: UploadProgress | None


class Session:
    """Sends the requests of a client."""

    def __init__(
        self, transport: "Transport", credentials: Credentials, *, timeout: float, retries: int
    ) -> None:
        self.blocking = transport.blocking
        self.worker_ids: dict[str, tuple[str, float]] = {}
        """The ids of workers by name, each with the time until which it is used."""
        self._transport = transport
        self._headers = {
            "user-agent": f"runwright-python/{__version__}",
            "accept": _JSON,
            **credentials.headers(),
        }
        self._api_key = credentials.api_key
        self._timeout = timeout
        self._retries = retries
        self._is_closed = False

    async def close(self) -> None:
        """Close the connections; from now on requests are refused with SetupError."""
        self._is_closed = True
        await self._transport.close()

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""
        await self._transport.sleep(seconds)

    async def read(
        self,
        into: type[I],
        route: str,
        *ids: str,
        member: str | None = _DATA,
        **parts: Unpack[RequestParts],
    ) -> I:
        """Return the resource that a request answers with: a member of the body, or for None the body."""
        answer = await self.send(route, *ids, **parts)
        return decode_info(into, answer.body if member is None else members_of(answer).get(member))

    async def read_list(
        self,
        into: type[I],
        route: str,
        *ids: str,
        member: str = _DATA,
        **parts: Unpack[RequestParts],
    ) -> list[I]:
        """Return the list that a request answers with."""
        answer = await self.send(route, *ids, **parts)
        return [decode_info(into, row) for row in rows_of(members_of(answer), member)]

    async def send(
        self, route: str, *ids: str, check: bool = True, **parts: Unpack[RequestParts]
    ) -> ApiResponse:
        """Return the answer to a request, sent again where that is safe. ApiError, Unreachable.

        `route` is a method and a path with `{names}` for which `ids` are set in. Without `check` the first
        answer is returned, whatever its status.
        """
        self._require_open()
        request = self._request(route, ids, parts)
        attempt = 0
        while True:
            try:
                answer = await self._transport.send(request)
                return _accepted(answer) if check else answer
            except (ApiError, Unreachable) as error:
                seconds = retry_seconds(error, attempt, repeatable=request.repeatable)
                if seconds is None or attempt >= self._retries:
                    raise
            attempt += 1
            await self._transport.sleep(seconds)

    async def follow(
        self, route: str, *ids: str, query: Mapping[str, object] | None = None, last_id: str = ""
    ) -> "AsyncGenerator[ServerSentEvent, None]":
        """Yield the events of a stream, which continues after the last one when the connection is lost.

        It continues until the consumer stops, or the server cannot be reached as often as a request would be
        sent.
        """
        self._require_open()
        method, _, path = route.partition(" ")
        request = ApiRequest(
            method=method,
            path=fill(path, *ids),
            query=query_of(**query or {}),
            headers=self._headers_for(
                path, None, {"accept": "text/event-stream", "cache-control": "no-store"}
            ),
            timeout=SILENCE_SECONDS,
        )
        attempt = 0
        while True:
            resumed = _resumed(request, last_id)
            lost: ApiError | Unreachable = Unreachable("The stream ended before it was complete.")
            try:
                async with aclosing(self._transport.events(resumed)) as events:
                    async for event in events:
                        attempt, last_id = 0 if event.data else attempt, event.id or last_id
                        yield event
            except (ApiError, Unreachable) as error:
                lost = error
            seconds = retry_seconds(lost, attempt, repeatable=True)
            if seconds is None or attempt >= self._retries:
                raise lost
            attempt += 1
            await self._transport.sleep(seconds)

    def _require_open(self) -> None:
        if self._is_closed:
            raise SetupError("The client is closed.")

    def _request(self, route: str, ids: Sequence[str], parts: RequestParts) -> ApiRequest:
        method, _, path = route.partition(" ")
        json = parts.get("json")
        body = parts.get("body") if json is None else encode_json(json)
        content_type = None if body is None else parts.get("content_type", _JSON)
        return ApiRequest(
            method=method,
            path=fill(path, *ids),
            query=query_of(**parts.get("query") or {}),
            headers=self._headers_for(path, content_type, parts.get("headers")),
            body=body,
            timeout=self._timeout + parts.get("wait", 0),
            progress=parts.get("progress"),
        )

    def _headers_for(
        self, path: str, content_type: str | None, others: Mapping[str, str] | None
    ) -> dict[str, str]:
        typed = {} if content_type is None else {"content-type": content_type}
        headers = self._headers | typed | {name.lower(): value for name, value in (others or {}).items()}
        if self._api_key is not None and path.startswith(_AVALA):
            headers["x-avala-api-key"] = self._api_key
        return headers


def new_idempotency_key(given: str | None = None) -> dict[str, str]:
    """Return the header of a call that must have its effect once, however often it is sent."""
    return {"idempotency-key": given or os.urandom(16).hex()}


def rows_of(members: Mapping[str, msgspec.Raw], name: str) -> list[msgspec.Raw]:
    """Return the rows of a list, each as JSON."""
    try:
        return msgspec.json.decode(members[name], type=list[msgspec.Raw])
    except (KeyError, msgspec.DecodeError):
        raise unexpected() from None


def unexpected() -> ApiError:
    """Return the error for an answer that no server of ours gives."""
    message = "The answer is not one of a Runwright server. Check the address."
    return ApiError(message, status=200, code="unexpected_answer")


def members_of(answer: ApiResponse) -> dict[str, msgspec.Raw]:
    """Return the members of an answer's object, each as JSON."""
    try:
        return msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        raise unexpected() from None


def _accepted(answer: ApiResponse) -> ApiResponse:
    if answer.status >= _REDIRECTS:
        raise api_error(answer.status, answer.headers, answer.body)
    return answer


def _resumed(request: ApiRequest, last_id: str) -> ApiRequest:
    if not last_id:
        return request
    return msgspec.structs.replace(request, headers={**request.headers, "last-event-id": last_id})
