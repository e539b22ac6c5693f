"""How many columns of a terminal text takes: wide characters take two, combining ones none."""

import unicodedata
from typing import Final

_WIDE: Final = frozenset("WF")


def columns_of(text: str) -> int:
    """Return the columns that printable text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """Return text in at most so many columns, with an ellipsis where something is missing."""
    if columns_of(text) <= width:
        return text
    kept, used = "", 0
    for letter in text:
        used += _width(letter)
        if used > width - 1:
            break
        kept += letter
    return kept.rstrip() + "…"


def _width(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in _WIDE else 1
