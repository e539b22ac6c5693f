"""How deeply JSON text may nest."""

from typing import Final

from runwright.core.json_text import outside_strings

DEPTH_LIMIT: Final = 64
_OPEN: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def nests_too_deeply(text: bytes, limit: int = DEPTH_LIMIT) -> bool:
    """Return whether valid JSON text has more than `limit` levels of lists and objects.

    Each pass removes the innermost brackets, so a text within the limit is empty after `limit` passes.
    Values are never walked in Python.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    brackets = outside_strings(text).translate(_OPEN, _NOT_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
