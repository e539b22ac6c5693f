r"""Halves of surrogate pairs in JSON, as a text has that was cut within a character: `"\ud83d"`."""

import re
from typing import Final

_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape of JSON: a surrogate pair, half of one, or any other."""


def first_half(text: str) -> str | None:
    """Return the first half of a pair without the other one, as it is written; None if there is none."""
    if _HALF.search(text) is None:
        return None
    return next((found[0] for found in _ESCAPE.finditer(text) if found["half"]), None)


def replace_halves(text: str) -> str:
    """Return JSON with U+FFFD in place of each half."""
    if _HALF.search(text) is None:
        return text
    return _ESCAPE.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)
