"""What a route says of itself, for the OpenAPI document."""

from typing import Any

import msgspec

Opt = dict[str, "Operation"]


class Operation(msgspec.Struct, frozen=True):
    """One operation. Its success is the handler's return type; text beyond the summary its docstring."""

    summary: str
    tag: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    """Beyond those that every route of the dialect has, and those of every route with a body."""
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
