"""Whether a text is JSON that all of the server can read, without making objects of it."""

from typing import Final

import msgspec

_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode
_DIGITS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS: Final = b"0" * 200
_LARGE_EXPONENTS: Final = (b"000", b"+000")
"""What numbers have that may be out of range, where each digit is a zero: so many, or this after an `e`."""

_FEW: Final = 1_000

_LITERALS: Final = (b"true", b"false", b"null")
_SEPARATORS: Final = bytes.maketrans(b"[]{}: \t\r\n", b"," * 9)
_read_numbers: Final = msgspec.json.Decoder(list[int | float]).decode
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
    return not _may_be_large(bare) or _can_hold_numbers(bare)


def _may_be_large(text: bytes) -> bool:
    digits = text.translate(_DIGITS)
    if _MANY_DIGITS in digits:
        return True
    if digits.count(b"e") > _FEW:
        return any(b"e" + exponent in digits for exponent in _LARGE_EXPONENTS)
    # Searching long runs of zeros for `e000` would take long.
    return any(part.startswith(_LARGE_EXPONENTS) for part in digits.split(b"e")[1:])


def outside_strings(text: bytes) -> bytes:
    """Return valid JSON without its strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.replace(b'""', b"").split(b'"')[::2])


def count_containers(text: bytes) -> int:
    """Return the number of lists and objects in JSON text; in other text, of those before the first error."""
    if text.count(b"[") + text.count(b"{") <= _FEW:
        return 0
    bare = outside_strings(text)
    return bare.count(b"[") + bare.count(b"{")


def _can_hold_numbers(bare: bytes) -> bool:
    """Return whether all numbers of valid JSON without its strings can be held."""
    for literal in _LITERALS:
        bare = bare.replace(literal, b"")
    numbers = bare.translate(_SEPARATORS).strip(b",")
    while b",," in numbers:
        numbers = numbers.replace(b",,,,", b",").replace(b",,", b",")
    try:
        _read_numbers(b"[%b]" % numbers)
    except msgspec.DecodeError:
        return False
    return True
