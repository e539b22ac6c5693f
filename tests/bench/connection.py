"""A keep-alive HTTP/1.1 connection that costs almost nothing: requests are ready-made bytes.

Blocking on purpose: a latency measured through an event loop contains the event loop.
"""

import json
import socket
from typing import Any, Final, Self

import msgspec

MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024


class Address(msgspec.Struct, frozen=True):
    """Where a server listens, and the headers that every request to it carries."""

    host: str
    port: int
    headers: dict[str, str]

    def render(
        self, method: str, target: str, body: object = None, *, kind: str = "application/json"
    ) -> bytes:
        """Return a whole request as bytes; a body that is bytes is sent as it is."""
        content = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        lines = [f"{method} {target} HTTP/1.1", f"host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if content:
            lines += [f"content-type: {kind}", f"content-length: {len(content)}"]
        return "\r\n".join([*lines, "", ""]).encode() + content


class AnswerError(Exception):
    """The server answered with something else than success."""


class Connection:
    """One connection; one request at a time."""

    def __init__(self, address: Address, timeout_seconds: float = 60.0) -> None:
        self.address = address
        self._socket = socket.create_connection((address.host, address.port), timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and the body of the answer."""
        self._socket.sendall(request)
        received = bytearray(self._socket.recv(65536))
        while not _is_whole(received):
            more = self._socket.recv(262144)
            if not more or len(received) > MAX_RESPONSE_BYTES:
                raise AnswerError("the connection ended within an answer")
            received += more
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        return int(head[9:12]), _dechunked(body) if _in_chunks(head) else body

    def call(self, method: str, target: str, body: object = None, *, kind: str = "application/json") -> Any:  # noqa: ANN401  JSON of any shape
        """Send JSON (or bytes of another kind), get JSON; raise unless the answer is a success."""
        status, content = self.exchange(self.address.render(method, target, body, kind=kind))
        if status >= 300:
            raise AnswerError(f"{method} {target}: {status} {content[:500].decode(errors='replace')}")
        return json.loads(content)


def _in_chunks(head: bytes | bytearray) -> bool:
    return b"\r\ntransfer-encoding: chunked" in head.lower()


def _is_whole(received: bytearray) -> bool:
    """Return whether this is an answer to its end; long lists come in chunks."""
    end = received.find(b"\r\n\r\n")
    if end >= 0 and _in_chunks(received[:end]):
        return received.endswith(b"\r\n0\r\n\r\n")
    size = response_size(received)
    return size is not None and len(received) >= size


def _dechunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            return b"".join(parts)
        parts.append(body[:size])
        body = body[size + 2 :]


def response_size(received: bytes | bytearray) -> int | None:
    """Return the size of the response that begins here, once its head is complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        raise AnswerError(f"an answer without content-length: {head[:200].decode(errors='replace')}")
    line_end = head.find(b"\r\n", start + 2)
    length = head[start + 17 : line_end if line_end > 0 else end]
    return end + 4 + int(length)
