"""Filters of triggers.

A filter maps paths to expected texts; an event matches if all of them are equal. A path is `kind`, `scope`,
`workspace_id`, `source`, or `data.` followed by names, separated by dots. Values are compared as text
(numbers in plain decimals); a missing value, null, an object and a list match nothing.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runwright.core.number_text import plain_decimal
from runwright.core.template_context import Json, TemplateContext

MOST_CONDITIONS: Final = 64
LONGEST_PATH: Final = 1_024

_ATTRIBUTES: Final = frozenset({"kind", "scope", "workspace_id", "source"})
_DATA: Final = "data"
_HEADERS: Final = (_DATA, "headers")


class FilterError(ValueError):
    """The filter is malformed; the message continues the name of the filter, `["kind"] must not be empty`."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.message = message if key is None else f'["{key[:LONGEST_PATH]}"]{message}'
        super().__init__(self.message)


class FilterCondition(msgspec.Struct, frozen=True):
    """A path and the expected text of its value."""

    path: tuple[str, ...]
    expected: str

    def is_met(self, context: TemplateContext) -> bool:
        """Return whether the value at the path is the expected one."""
        text = _text(_find(context, self.path))
        if text is None and self.path[:2] == _HEADERS:  # names of headers have no case
            text = _text(_find(context, tuple(map(str.lower, self.path))))
        return text == self.expected


class EventFilter(msgspec.Struct, frozen=True):
    """Conditions that all have to be met; no conditions match every event."""

    conditions: tuple[FilterCondition, ...]

    def matches(self, context: TemplateContext) -> bool:
        """Return whether the event matches."""
        return all(condition.is_met(context) for condition in self.conditions)


def compile_filter(mapping: Mapping[str, str]) -> EventFilter:
    """Check and compile a filter. Raises FilterError if a path or a text is invalid."""
    if len(mapping) > MOST_CONDITIONS:
        raise FilterError(f" must have at most {MOST_CONDITIONS} entries")
    return EventFilter(tuple(_condition(key, mapping[key]) for key in sorted(mapping)))


def _condition(key: str, expected: str) -> FilterCondition:
    path = tuple(map(str.strip, key.strip().split(".")))
    if len(key) > LONGEST_PATH or not _is_supported(path):
        raise FilterError(f': unsupported filter path "{key[:LONGEST_PATH]}"', key)
    if not expected.strip():
        raise FilterError(" must not be empty", key)
    return FilterCondition(path, expected.strip())


def _is_supported(path: tuple[str, ...]) -> bool:
    if len(path) == 1:
        return path[0] in _ATTRIBUTES
    return path[0] == _DATA and all(path)


def _find(context: TemplateContext, path: tuple[str, ...]) -> Json:
    if path[0] != _DATA:
        return str(getattr(context, path[0]))
    within: dict[str, Any] = context.data
    for segment in path[1:-1]:
        inner = _opened(within, segment)
        if not isinstance(inner, dict):
            return None
        within = inner
    found: Json = _opened(within, path[-1])
    return found


def _opened(fields: dict[str, Any], name: str) -> Any:  # noqa: ANN401  any JSON value
    """Return a field's value. JSON text is decoded, of an object one level, and kept for the next filter."""
    value = fields.get(name)
    if isinstance(value, msgspec.Raw):
        text = bytes(value)
        if text.startswith(b"["):
            return None  # matches nothing
        with contextlib.suppress(msgspec.DecodeError):  # a number that cannot be held matches nothing
            kind = dict[str, msgspec.Raw] if text.startswith(b"{") else Any
            value = fields[name] = msgspec.json.decode(text, type=kind)
    return value


def _text(value: Json) -> str | None:
    """Return a scalar as text; None for other values."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return plain_decimal(value)
    return None
