"""What a route says of itself, for the OpenAPI document."""

from typing import Any, Final

import msgspec

Opt = dict[str, "Operation"]

TAGS: Final = (
    "Workers",
    "Secrets",
    "Jobs",
    "Schedules",
    "Queues",
    "Analytics",
    "Webhooks",
    "Runtimes",
)
"""The order in which the document shows its parts."""


class Operation(msgspec.Struct, frozen=True):
    """One operation. Its success is the handler's return type; text beyond the summary its docstring."""

    summary: str
    tag: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    """Beyond 400, 401, 403 and 500, which every route has, and 413 and 408 of those with a body."""
    idempotent: bool = False
    """Takes an Idempotency-Key, and answers 200 where it is replayed."""
    produces: str = "application/json"
    """The media type of a success: JSON, or a stream of events."""
    content: dict[str, Any] | None = None
    """Bodies that are not JSON, by content type, as OpenAPI has them."""
    unchanged: str | None = None
    """When it answers 200, having made nothing, instead of 201."""
    example: dict[str, Any] | None = None
    """A body."""

    @property
    def opt(self) -> Opt:
        """The operation as a route's `opt`."""
        return {"operation": self}
