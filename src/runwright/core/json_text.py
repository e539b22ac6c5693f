"""Whether a text is JSON that all of the server can read, without making objects of it."""

import math
import re
from typing import Final

import msgspec

_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode
_DIGITS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE_NUMBERS: Final = (b"e000", b"e+000", b"0" * 200)
"""What a number has that may be out of range, where each digit is a zero."""

_INTEGER_DIGITS: Final = 4300
"""Python's own limit."""

_NUMBER: Final = re.compile(rb"-?\d[-+.\deE]*")
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def is_json(text: bytes) -> bool:
    """Return whether the text is JSON in UTF-8 with numbers that can be held."""
    try:
        _skip(text)
        if not text.isascii():
            text.decode()
    except _UNREADABLE:
        return False
    if not _may_be_large(text):
        return True
    bare = outside_strings(text)
    return not _may_be_large(bare) or all(_in_range(one[0]) for one in _NUMBER.finditer(bare))


def _may_be_large(text: bytes) -> bool:
    digits = text.translate(_DIGITS)
    return any(sign in digits for sign in _LARGE_NUMBERS)


def outside_strings(text: bytes) -> bytes:
    """Return valid JSON without its strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.replace(b'""', b"").split(b'"')[::2])


def _in_range(number: bytes) -> bool:
    digits = number.removeprefix(b"-")
    return len(digits) <= _INTEGER_DIGITS if digits.isdigit() else math.isfinite(float(number))
