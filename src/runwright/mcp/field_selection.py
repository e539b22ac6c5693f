"""Which fields of a resource a tool returns, and how much of each."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from runwright.client.models.base import Info
from runwright.mcp.results import cut

_LONGEST_TEXT: Final = 300
_LONGEST_JSON: Final = 1_500
_ABSENT: Final = {b"null", b"[]", b"{}"}


def select_fields(resource: Info, fields: Sequence[str], *, longest: int = _LONGEST_TEXT) -> dict[str, Any]:
    """Return fields of a resource, without those that are absent, and with long values cut.

    A long value stays text: a payload of a megabyte can be 300,000 lists, which hold up all threads when
    garbage is collected.
    """
    values = _raw_fields(resource)
    present = ((name, values[name]) for name in fields if name in values)
    return {name: _bounded(value, longest) for name, value in present if bytes(value) not in _ABSENT}


def all_fields(resource: Info) -> dict[str, Any]:
    """Return all fields of a resource, with long values cut."""
    return select_fields(resource, list(_raw_fields(resource)))


def _raw_fields(resource: Info) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(resource.raw, type=dict[str, msgspec.Raw])


def _bounded(json: msgspec.Raw, longest: int) -> object:
    """Return a value, or the beginning of its text or of its JSON if it is long."""
    text = bytes(json)
    if text.startswith(b'"'):
        return cut(msgspec.json.decode(text, type=str), longest)
    return msgspec.json.decode(text) if len(text) <= _LONGEST_JSON else cut(text.decode(), _LONGEST_JSON)
