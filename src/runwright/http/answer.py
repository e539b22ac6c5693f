"""An answer as plain values, and how it is sent."""

from collections.abc import Sequence
from typing import Final

import msgspec
from litestar.types import Scope, Send

JSON: Final = b"application/json"

Headers = list[tuple[bytes, bytes]]

_KEPT: Final = "answer_headers"


class Answer(msgspec.Struct, frozen=True):
    """A whole response; the front adds the headers that all responses have."""

    status: int
    body: bytes
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def keep_answer_headers(scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Let the answer to a request have these headers, whoever writes it and whatever it says."""
    scope["state"][_KEPT] = headers


def answer_headers(scope: Scope) -> Sequence[tuple[bytes, bytes]]:
    """Return what was kept for the answer to a request."""
    kept: Sequence[tuple[bytes, bytes]] = scope["state"].get(_KEPT, ())
    return kept


async def send_answer(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
