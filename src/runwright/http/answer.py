"""An answer as plain values, and how it is sent."""

from typing import Final

import msgspec
from litestar.types import Send

JSON: Final = b"application/json"

Headers = list[tuple[bytes, bytes]]


class Answer(msgspec.Struct, frozen=True):
    """A whole response; the front adds the headers that all responses have."""

    status: int
    body: bytes
    media_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def send_answer(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
