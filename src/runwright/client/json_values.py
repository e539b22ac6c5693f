"""JSON that is sent: a value that JSON cannot carry is refused with its place, not sent as something else."""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final, TypeAlias

import msgspec

from runwright.client.errors import InvalidValueError

ValuePath: TypeAlias = tuple[str | int, ...]

_HALF: Final = re.compile("[\ud800-\udfff]")
"""Half of a character: what Python makes of bytes that are no UTF-8."""

_NO_TEXT: Final = "is no valid text."


def encode_json(value: object) -> bytes:
    """Return a value as JSON. InvalidValueError names the place of what JSON cannot carry."""
    try:
        text = msgspec.json.encode(value)
    except RecursionError:
        raise InvalidValueError("The value is nested too deeply.") from None
    except UnicodeEncodeError:
        text = b""
    if not text or b"null" in text:  # which is what becomes of a number that is none
        for path, problem in unsendable(value):
            raise InvalidValueError(f"{path_text(path) or 'The value'} {problem}")
    return text


def unsendable(value: object) -> Iterator[tuple[ValuePath, str]]:
    """Yield the place and the problem of each value that JSON cannot carry."""
    waiting: list[tuple[ValuePath, object]] = [((), value)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += [((*path, str(key)), each) for key, each in one.items()]
            yield from (((*path, repr(key)), _NO_TEXT) for key in one if not _is_text(key))
        elif isinstance(one, list | tuple):
            waiting += [((*path, n), each) for n, each in enumerate(one)]
        elif isinstance(one, float) and not isfinite(one):
            yield path, f"is {one}: JSON has no such number."
        elif not _is_text(one):
            yield path, _NO_TEXT


def _is_text(value: object) -> bool:
    return not isinstance(value, str) or _HALF.search(value) is None


def path_text(path: ValuePath) -> str:
    """Return a path as `input.rows[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
