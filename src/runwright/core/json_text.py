"""Whether a text is JSON that all of the server can read, without making objects of it."""

import math
import re
from typing import Final

import msgspec

_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode
_LONG_NUMBER: Final = re.compile(rb"[eE]\+?\d{3}|(?<!\d)\d{200}")
"""What a number has that may be out of range."""

_INTEGER_DIGITS: Final = 4300
"""Python's own limit."""

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[-+.\deE]*')
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def is_json(text: bytes) -> bool:
    """Return whether the text is JSON in UTF-8 with numbers that can be held."""
    try:
        _skip(text)
        if not text.isascii():
            text.decode()
    except _UNREADABLE:
        return False
    return _LONG_NUMBER.search(text) is None or all(
        _in_range(token[0]) for token in _TOKEN.finditer(text) if not token[0].startswith(b'"')
    )


def _in_range(number: bytes) -> bool:
    digits = number.removeprefix(b"-")
    return len(digits) <= _INTEGER_DIGITS if digits.isdigit() else math.isfinite(float(number))
