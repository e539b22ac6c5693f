"""Requests and responses, as transports carry them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from runwright.client.errors import SetupError

_CHUNK_BYTES: Final = 64 * 1024
_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})

UploadProgress = Callable[[int, int], None]
"""Called with the bytes that were sent and those of the whole body."""


class ApiRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request; `path` begins with a slash, and `query` has its parameters by name."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    timeout: float
    """For how many seconds nothing may arrive."""
    progress: UploadProgress | None = None

    @property
    def repeatable(self) -> bool:
        """Whether it has the same effect when the server gets it twice."""
        return self.method in _REPEATABLE or "idempotency-key" in self.headers

    def chunks(self) -> Iterator[bytes]:
        """Yield the body, and report how much of it was sent."""
        body = self.body or b""
        for start in range(0, len(body), _CHUNK_BYTES):
            yield body[start : start + _CHUNK_BYTES]
            if self.progress is not None:
                self.progress(min(start + _CHUNK_BYTES, len(body)), len(body))


class ApiResponse(msgspec.Struct, frozen=True):
    """A response. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  JSON
        """The decoded body; None where it is empty."""
        return msgspec.json.decode(self.body) if self.body else None


def fill(path: str, *segments: str) -> str:
    """Return a path with a segment for each `{name}`; none can change the rest of the path."""
    for segment in segments:
        if segment in {"", ".", ".."} or not segment.isprintable():
            raise SetupError(f"{segment!r} cannot be the id or the name of anything.")
        start, end = path.index("{"), path.index("}")
        path = path[:start] + quote(segment, safe="") + path[end + 1 :]
    return path


def query_of(**given: object) -> dict[str, str]:
    """Return query parameters as text; those that are None are left out."""
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(_text, value))
    plain = msgspec.to_builtins(value)
    return plain if isinstance(plain, str) else str(plain)
