"""Which fields of a resource a tool returns, and how much of each."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from runwright.client.models.base import Info
from runwright.mcp.results import cut, json_text

_LONGEST_TEXT: Final = 300
_LONGEST_JSON: Final = 1_500


def select_fields(resource: Info, fields: Sequence[str], *, longest: int = _LONGEST_TEXT) -> dict[str, Any]:
    """Return fields of a resource, without those that are absent, and with long values cut."""
    values: dict[str, Any] = msgspec.json.decode(resource.raw)
    present = ((name, values.get(name)) for name in fields)
    return {name: _bounded(value, longest) for name, value in present if value not in (None, [], {})}


def all_fields(resource: Info) -> dict[str, Any]:
    """Return all fields of a resource, with long values cut."""
    return select_fields(resource, list(msgspec.json.decode(resource.raw)))


def _bounded(value: object, longest: int) -> object:
    """Return a value, or the beginning of its text or of its JSON if it is long."""
    if isinstance(value, str):
        return cut(value, longest)
    if isinstance(value, int | float):
        return value
    text = json_text(value)
    return value if len(text) <= _LONGEST_JSON else cut(text, _LONGEST_JSON)
