"""Search for many patterns in one text.

Up to `FEW` patterns are searched one after the other, which is fastest. More are found by their
first `HEAD` bytes, so that the time does not depend on their number; if more than `_MOST_ALIKE`
have the same first bytes, the rest of the line counts as a match.
"""

from collections.abc import Iterable
from typing import Final

from runwright.secrets.escape_decoding import Span

FEW: Final = 64
HEAD: Final = 8
_MOST_ALIKE: Final = 16
_MOST_TRIES: Final = 64


class MultiPatternSearch:
    """A set of patterns; empty ones are ignored."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        found = sorted({pattern for pattern in patterns if pattern}, key=len, reverse=True)
        many = len(found) > FEW
        self._single = [pattern for pattern in found if not many or len(pattern) < HEAD]
        self._by_head: dict[bytes, list[bytes]] = {}
        if many:
            for pattern in found:
                if len(pattern) >= HEAD:
                    self._by_head.setdefault(pattern[:HEAD], []).append(pattern)
        self._longest = len(found[0]) if found else 0
        self.shortest = len(found[-1]) if found else 1 << 30

    def spans(self, text: bytes) -> list[Span]:
        """Return the spans of all matches, in no order; a match inside another one may be omitted."""
        found = []
        for pattern in [pattern for pattern in self._single if pattern in text]:
            at = text.find(pattern)
            while at >= 0:
                found.append((at, at + len(pattern)))
                at = text.find(pattern, at + 1)
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
                length = next((len(pattern) for pattern in alike if text.startswith(pattern, at)), 0)
                if end or length:
                    found.append((at, max(end, at + length)))
        return found

    def partial_match(self, text: bytes, least: int) -> int:
        """Return where the text ends with the first `least` or more bytes of a pattern, or -1."""
        starts = [_tail(text, pattern, least) for pattern in self._single]
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
            if len(alike) > _MOST_ALIKE or any(pattern.startswith(text[at:]) for pattern in alike):
                return at
        return -1


def _tail(text: bytes, pattern: bytes, least: int) -> int:
    """Return where the text ends with the first bytes of the pattern, or -1.

    After `_MOST_TRIES` failed comparisons the next candidate counts as a match, which bounds the time.
    """
    at = max(0, len(text) - len(pattern) + 1)
    size = max(least, 4)
    for _ in range(_MOST_TRIES):
        at = text.find(pattern[:size], at)
        if at < 0:
            break
        if pattern.startswith(text[at:]):
            return at
        at += 1
    if at >= 0:
        return at
    shorter = (length for length in range(min(size, len(pattern)) - 1, least - 1, -1))
    return next((len(text) - length for length in shorter if text.endswith(pattern[:length])), -1)


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end
