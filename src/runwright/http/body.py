"""Reading a request's body: bounded in bytes and in time, whatever the headers say."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, ClassVar, Final

from litestar.types import Receive

from runwright.core.errors import MalformedError, RunwrightError, TooLargeError
from runwright.http.services import EdgeSettings

_JSON: Final = b"application/json"
_DRAIN_FACTOR: Final = 8
_DRAIN_SECONDS: Final = 2.0


class SlowRequestError(RunwrightError):
    """The body did not arrive in time."""

    code: ClassVar[str] = "slow"


async def read_json_body(headers: Mapping[bytes, bytes], receive: Receive, limits: EdgeSettings) -> bytes:
    """Return the raw body of a request that says it is JSON.

    Raises MalformedError for another content type, TooLargeError as soon as the limit is
    passed, SlowRequestError.
    """
    _require_json(headers.get(b"content-type", b""))
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read(headers, receive, limits.body_limit_bytes)
    except TimeoutError:
        raise SlowRequestError("The request body did not arrive in time.") from None


async def read_any_body(
    headers: Mapping[bytes, bytes], receive: Receive, limits: EdgeSettings, *, limit_bytes: int
) -> bytes:
    """Return the raw body of a request, whatever it says it is.

    Raises TooLargeError as soon as the limit is passed, SlowRequestError.
    """
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read(headers, receive, limit_bytes)
    except TimeoutError:
        raise SlowRequestError("The request body did not arrive in time.") from None


async def read_into(
    file: IO[bytes],
    headers: Mapping[bytes, bytes],
    receive: Receive,
    limits: EdgeSettings,
    *,
    limit_bytes: int,
) -> None:
    """Write a body into a file, and go back to its beginning; raises as `read_json_body` does.

    The whole of it has `upload_seconds`, each part of it `body_seconds`.
    """
    await _refuse_announced(headers, receive, limit_bytes)
    try:
        async with asyncio.timeout(limits.upload_seconds):
            more, size = True, 0
            while more:
                async with asyncio.timeout(limits.body_seconds):
                    part, more = await _next_part(receive)
                size += len(part)
                if size > limit_bytes:
                    break
                file.write(part)
    except TimeoutError:
        raise SlowRequestError("The request body did not arrive in time.") from None
    if size > limit_bytes:
        if more:
            await _drain(receive, limit_bytes)
        raise _too_large(limit_bytes)
    file.seek(0)


def _require_json(content_type: bytes) -> None:
    if content_type == _JSON:
        return
    kind, _, parameters = content_type.partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    if kind.strip().lower() != _JSON or charset not in {b"", b"charset=utf-8"}:
        raise MalformedError("The content type must be application/json (UTF-8).")


async def _read(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    await _refuse_announced(headers, receive, limit)
    body, more = await _next_part(receive)
    if more:
        parts = [body]
        size = len(body)
        while more and size <= limit:
            body, more = await _next_part(receive)
            parts.append(body)
            size += len(body)
        body = b"".join(parts)
    if len(body) > limit:
        if more:
            await _drain(receive, _DRAIN_FACTOR * limit)
        raise _too_large(limit)
    return body


async def _refuse_announced(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> None:
    announced = int(headers.get(b"content-length", b"0"))
    if announced > limit:
        if b"expect" not in headers and announced <= _DRAIN_FACTOR * limit:
            await _drain(receive, announced)
        raise _too_large(limit)


async def _drain(receive: Receive, most_bytes: int) -> None:
    """Swallow a while what else comes, for a sender that is still sending never reads the answer."""
    more = True
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while more and most_bytes > 0:
                part, more = await _next_part(receive)
                most_bytes -= len(part)


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise MalformedError("The client went away while sending the body.")
    return message["body"], message.get("more_body", False)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The request body is over the limit of {limit} bytes.")
