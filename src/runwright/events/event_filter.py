"""Which events a list or a stream has."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec


class TypePatterns(msgspec.Struct, frozen=True):
    """Types of events: those that are named, and those that begin with one of the prefixes; none: all."""

    types: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    def match(self, event_type: str) -> bool:
        """Return whether a type is among them."""
        every = not self.types and not self.prefixes
        return every or event_type in self.types or event_type.startswith(self.prefixes)


EVERY_TYPE: Final = TypePatterns()


class EventSelection(msgspec.Struct, frozen=True, kw_only=True):
    """A filter for events; None matches all."""

    patterns: TypePatterns = EVERY_TYPE
    subject_ids: frozenset[str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def patterns_of(names: Iterable[str]) -> TypePatterns:
    """Return the patterns for types (`job.completed`) and families (`job.*`); `*` is every type."""
    names = list(names)
    if "*" in names:
        return EVERY_TYPE
    return TypePatterns(
        frozenset(name for name in names if not name.endswith(".*")),
        tuple(name[:-1] for name in names if name.endswith(".*")),
    )
