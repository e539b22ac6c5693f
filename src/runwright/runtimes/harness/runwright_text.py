"""Text and JSON of user code, as the executor accepts them."""

from __future__ import annotations

import json
import math
import re

TYPE_CHECKING = False  # importing typing takes as long as half of the rest
if TYPE_CHECKING:
    from typing import NoReturn

BOM = b"\xef\xbb\xbf"
EXACT_DIGITS = 300
_LONE = re.compile("[\ud800-\udfff]")


def encode_text(text: str) -> bytes:
    """Return text in UTF-8; halves of surrogate pairs, which are no characters, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A pair that came as two halves is one character.
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return _LONE.sub("\ufffd", joined).encode()


def as_json(data: bytes) -> bytes | None:
    """Return a text as the JSON value that the executor accepts; None if it is none.

    This is the one judge of what is JSON: numbers that cannot be held are not, as in the executor, and lone
    surrogates are replaced.
    """
    text = data.removeprefix(BOM).strip(b" \t\r\n")
    try:
        value = json.loads(text.decode(), parse_constant=refuse, parse_float=to_float, parse_int=to_int)
    except (ValueError, RecursionError):
        return None
    if b"\\ud" in text or b"\\uD" in text:
        return encode_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return text


def last_json(output: bytes) -> bytes | None:
    """Return the result in what a program printed: all of it if that is JSON, else its last line.

    A number that would not be printed again as it was written, such as a version or a git hash, is text.
    """
    text = output.strip(b" \t\r\n")
    for part in (text, text.rpartition(b"\n")[2].strip()):
        answer = as_json(part)
        if answer is not None and (not _NUMBER.match(answer) or is_plain_number(answer)):
            return answer
    return None


_NUMBER = re.compile(rb"-?[0-9]")
_PLAIN = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")
_EXACT = 2**53 - 1


def is_plain_number(text: bytes) -> bool:
    """Return whether every program would print this number again as it is written."""
    if not _PLAIN.fullmatch(text) or text == b"-0" or len(text) > EXACT_DIGITS:
        return False
    value = to_int(text.decode()) if b"." not in text else to_float(text.decode())
    return abs(value) <= _EXACT and repr(value).encode() == text


def to_float(text: str) -> float:
    """Return a number; ValueError if it is out of range."""
    value = float(text)
    if value in {math.inf, -math.inf}:
        raise ValueError(text)
    return value


def to_int(text: str) -> int | float:
    """Return a whole number; ValueError if it is out of range. Very long ones are held as floats."""
    return int(text) if len(text) <= EXACT_DIGITS else to_float(text)


def refuse(name: str) -> NoReturn:
    """Raise ValueError for NaN and the infinities, which Python accepts and JSON does not have."""
    raise ValueError(name)
