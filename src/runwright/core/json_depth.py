"""How deeply JSON text may nest."""

from itertools import accumulate
from operator import add
from typing import Final

from runwright.core.json_text import outside_strings

DEPTH_LIMIT: Final = 64
_BITS: Final = bytes.maketrans(b"[{]}", b"1100")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def _heights(byte: int) -> list[int]:
    """Return by how much the depth has changed after each bit, an opening (1) or a closing bracket (0)."""
    return list(accumulate(1 if byte & 1 << bit else -1 for bit in range(7, -1, -1)))


_CHANGES: Final = [_heights(byte)[-1] for byte in range(256)]
_PEAKS: Final = [max(_heights(byte)) for byte in range(256)]


def nests_too_deeply(text: bytes, limit: int = DEPTH_LIMIT) -> bool:
    """Return whether valid JSON text has more than `limit` levels of lists and objects.

    Eight brackets at a time are a byte, whose effect on the depth is looked up, so the time is linear.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    bits = outside_strings(text).translate(_BITS, _NOT_BRACKETS)
    if len(bits) <= 2 * limit:
        return False
    bits += b"0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    before = accumulate(map(_CHANGES.__getitem__, packed), initial=0)
    deepest: int = max(map(add, before, map(_PEAKS.__getitem__, packed)))
    return deepest > limit
