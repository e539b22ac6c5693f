"""Filters: which events a trigger wants.

A filter maps paths to expected texts; an event matches when every one is met exactly. A path is
`kind`, `scope`, `workspace_id`, `source`, or `data.` and the names to walk by, parted by dots. What
is found there is compared as text (numbers in plain decimals); a missing value, null, an object and
a list match nothing.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from runwright.core.number_text import plain_decimal
from runwright.core.template_context import Json, TemplateContext

MOST_CONDITIONS: Final = 64
LONGEST_PATH: Final = 1_024

_FACTS: Final = frozenset({"kind", "scope", "workspace_id", "source"})
_DATA: Final = "data"


class FilterError(ValueError):
    """The filter is malformed; the message goes on from the filter's name, `["kind"] must not be empty`."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.message = message if key is None else f'["{key[:LONGEST_PATH]}"]{message}'
        super().__init__(self.message)


class Condition(msgspec.Struct, frozen=True):
    """One path and the text that has to be there."""

    path: tuple[str, ...]
    expected: str

    def is_met(self, activation: TemplateContext) -> bool:
        """Tell whether the value at the path reads as expected."""
        return _text(_find(activation, self.path)) == self.expected


class Filter(msgspec.Struct, frozen=True):
    """Conditions that all have to be met; none at all match every event."""

    conditions: tuple[Condition, ...]

    def matches(self, activation: TemplateContext) -> bool:
        """Tell whether the event is wanted."""
        return all(condition.is_met(activation) for condition in self.conditions)


def compile_filter(mapping: Mapping[str, str]) -> Filter:
    """Check a filter and make it ready; FilterError where a path or a text is wrong."""
    if len(mapping) > MOST_CONDITIONS:
        raise FilterError(f" must have at most {MOST_CONDITIONS} entries")
    return Filter(tuple(_condition(key, mapping[key]) for key in sorted(mapping)))


def _condition(key: str, expected: str) -> Condition:
    path = tuple(segment.strip() for segment in key.strip().split("."))
    if len(key) > LONGEST_PATH or not _walkable(path):
        raise FilterError(f': unsupported filter path "{key[:LONGEST_PATH]}"', key)
    if not expected.strip():
        raise FilterError(" must not be empty", key)
    return Condition(path, expected.strip())


def _walkable(path: tuple[str, ...]) -> bool:
    if len(path) == 1:
        return path[0] in _FACTS
    return path[0] == _DATA and all(path)


def _find(activation: TemplateContext, path: tuple[str, ...]) -> Json:
    if path[0] != _DATA:
        return str(getattr(activation, path[0]))
    found: Json = activation.data
    for segment in path[1:]:
        if not isinstance(found, dict):
            return None
        found = found.get(segment)
    return found


def _text(value: Json) -> str | None:
    """Return a scalar as text; None for what matches nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return plain_decimal(value)
    return None
