"""How deeply JSON text is nested, found without walking its values in Python."""

import re
from typing import Final

DEPTH_LIMIT: Final = 64

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_OPEN: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def nests_too_deeply(text: bytes, limit: int = DEPTH_LIMIT) -> bool:
    """Tell whether valid JSON text has more than `limit` levels of lists and objects.

    Each pass takes away the innermost brackets, so `limit` passes leave nothing of a text that is fine.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    brackets = _STRING.sub(b"", text).translate(_OPEN, _NOT_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
