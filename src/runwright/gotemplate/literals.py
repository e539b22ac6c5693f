"""Go's literals: quoted texts, characters and numbers."""

import re
from typing import Final

from runwright.gotemplate.errors import TemplateError

_SIMPLE: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX]_?[0-9a-fA-F][0-9a-fA-F_]*|0[bB]_?[01][01_]*|0[oO]_?[0-7][0-7_]*"
    r"|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)"
)
_OLD_OCTAL: Final = re.compile(r"([+-]?)0([0-7_]+)")
_MOST: Final = 2**64
_LAST_CHARACTER: Final = 0x10FFFF
_BYTE: Final = 256


def unquote(literal: str) -> str:
    """Return the text of a literal in double quotes or back quotes."""
    if literal.startswith("`"):
        return literal[1:-1].replace("\r", "")
    return _unescape(literal[1:-1], literal, mark='"')


def character(literal: str) -> int:
    """Return the code point of a character literal in single quotes."""
    text = _unescape(literal[1:-1], literal, mark="'")
    if len(text) != 1:
        raise TemplateError(f"malformed character constant: {literal}")
    return ord(text)


def number(literal: str) -> int | float:
    """Return the value of a number literal."""
    if not _NUMBER.fullmatch(literal) or "__" in literal or literal.endswith("_"):
        raise TemplateError(f"bad number syntax: {literal[:80]!r}")
    plain = literal.replace("_", "")
    old = _OLD_OCTAL.fullmatch(plain)
    if old is not None:
        return int(old[1] + old[2], 8)
    try:
        value = int(plain, 0)
    except ValueError:
        return _floating(plain)
    if abs(value) >= _MOST:
        raise TemplateError(f"integer overflow: {literal[:80]!r}")
    return value


def _floating(plain: str) -> float:
    try:
        value = float(plain if set(".eE") & set(plain) else "")
    except ValueError:
        raise TemplateError(f"bad number syntax: {plain[:80]!r}") from None
    if value in {float("inf"), float("-inf")}:
        raise TemplateError(f"number out of range: {plain[:80]!r}")
    return value


def _unescape(text: str, literal: str, *, mark: str) -> str:
    """Return a text with its escapes resolved; escaped bytes are decoded as UTF-8."""
    pieces, at = bytearray(), 0
    for found in _ESCAPE.finditer(text):
        pieces += text[at : found.start()].encode(errors="replace")
        pieces += _escaped(found, literal, mark)
        at = found.end()
    pieces += text[at:].encode(errors="replace")
    return pieces.decode(errors="replace")


def _escaped(found: re.Match[str], literal: str, mark: str) -> bytes:
    hexadecimal, octal, short, long, simple = found.groups()
    if simple is not None:
        if simple not in _SIMPLE or (simple in "'\"" and simple != mark):
            raise TemplateError(f"invalid syntax: {literal[:80]}")
        return _SIMPLE[simple].encode()
    value = int(octal, 8) if octal else int(hexadecimal or short or long, 16)
    if hexadecimal or octal:
        if value >= _BYTE:
            raise TemplateError(f"invalid syntax: {literal[:80]}")
        return bytes([value])
    if value > _LAST_CHARACTER or 0xD800 <= value <= 0xDFFF:  # noqa: PLR2004  the surrogates
        raise TemplateError(f"invalid syntax: {literal[:80]}")
    return chr(value).encode()
