"""A response of server-sent events, which lasts until its source ends, or its client leaves or hangs.

At most one chunk and the connection's buffers wait for a client. One that takes nothing for `SEND_SECONDS` is
cut off: its connection is aborted, because what is in the buffers could never be delivered.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runwright.http.response import EVENT_STREAM

SEND_SECONDS: Final = 20.0
ABORT_SECONDS: Final = 1.0
ABORT: Final = "runwright.abort"
"""The extension of the ASGI scope with the function that aborts the connection."""


class EventStreamResponse(Response):
    """Sends the chunks of a source as they come."""

    media_type = EVENT_STREAM

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self.status_code = 200
        self.init_headers({"x-accel-buffering": "no"})
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._chunks):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            sending = asyncio.create_task(self._send_all(send))
            leaving = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done() and not sending.result():
                    _abort(scope)
                    await asyncio.wait({leaving}, timeout=ABORT_SECONDS)
            finally:
                await _cancel(sending, leaving)

    async def _send_all(self, send: Send) -> bool:
        """Send all chunks and the end; return False where the client took nothing more."""
        async for chunk in self._chunks:
            if not await _send(send, chunk):
                return False
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


async def _send(send: Send, chunk: bytes) -> bool:
    """Send a chunk; return whether the client took what was there before in time."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError:
        return False
    return True


def _abort(scope: Scope) -> None:
    abort: Callable[[], None] = scope.get("extensions", {}).get(ABORT, lambda: None)
    abort()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: "asyncio.Task[bool] | asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
