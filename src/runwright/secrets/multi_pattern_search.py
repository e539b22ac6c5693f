"""Many short texts to look for in one long one.

Few needles are looked for one after the other, which is quickest. Many are found by their first
bytes, so that the time does not grow with their number; where more than a handful begin alike,
the rest of the line counts as found.
"""

from collections.abc import Iterable
from typing import Final

from runwright.secrets.escape_decoding import Span

FEW: Final = 64
HEAD: Final = 8
_MOST_ALIKE: Final = 16
_MOST_TRIES: Final = 64


class MultiPatternSearch:
    """What is looked for; never empty texts."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        found = sorted({needle for needle in needles if needle}, key=len, reverse=True)
        many = len(found) > FEW
        self._single = [needle for needle in found if not many or len(needle) < HEAD]
        self._by_head: dict[bytes, list[bytes]] = {}
        if many:
            for needle in found:
                if len(needle) >= HEAD:
                    self._by_head.setdefault(needle[:HEAD], []).append(needle)
        self._longest = len(found[0]) if found else 0
        self.shortest = len(found[-1]) if found else 1 << 30

    def spans(self, text: bytes) -> list[Span]:
        """Return where needles are, in no order; what lies within another one may be left out."""
        found = []
        for needle in [needle for needle in self._single if needle in text]:
            at = text.find(needle)
            while at >= 0:
                found.append((at, at + len(needle)))
                at = text.find(needle, at + 1)
        if self._by_head:
            found += self._spans_by_head(text)
        return found

    def _spans_by_head(self, text: bytes) -> list[Span]:
        found = []
        by_head = self._by_head
        for at in range(len(text) - HEAD + 1):
            alike = by_head.get(text[at : at + HEAD])
            if alike is not None:
                end = _line_end(text, at) if len(alike) > _MOST_ALIKE else 0
                length = next((len(needle) for needle in alike if text.startswith(needle, at)), 0)
                if end or length:
                    found.append((at, max(end, at + length)))
        return found

    def unfinished(self, text: bytes, least: int) -> int:
        """Return where the beginning of a needle, at least so long, reaches the end of the text; or -1."""
        starts = [_tail(text, needle, least) for needle in self._single]
        if self._by_head:
            starts.append(self._tail_by_head(text, least))
        return min((start for start in starts if start >= 0), default=-1)

    def _tail_by_head(self, text: bytes, least: int) -> int:
        for at in range(max(0, len(text) - self._longest), len(text)):
            if len(text) - at < least:
                break
            if len(text) - at < HEAD:
                if any(head.startswith(text[at:]) for head in self._by_head):
                    return at
                continue
            alike = self._by_head.get(text[at : at + HEAD], [])
            if len(alike) > _MOST_ALIKE or any(needle.startswith(text[at:]) for needle in alike):
                return at
        return -1


def _tail(text: bytes, needle: bytes, least: int) -> int:
    """Return where the beginning of the needle reaches the end of the text.

    After many tries that lead nowhere the next one is taken for it, so that no text takes long.
    """
    at = max(0, len(text) - len(needle) + 1)
    size = max(least, 4)
    for _ in range(_MOST_TRIES):
        at = text.find(needle[:size], at)
        if at < 0:
            break
        if needle.startswith(text[at:]):
            return at
        at += 1
    if at >= 0:
        return at
    shorter = (length for length in range(min(size, len(needle)) - 1, least - 1, -1))
    return next((len(text) - length for length in shorter if text.endswith(needle[:length])), -1)


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end
