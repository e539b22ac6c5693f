"""Search for many patterns in one text, in time that does not depend on their number.

One automaton (Aho-Corasick, compiled) finds the first `KEY` bytes of every pattern in slices of the
text, without the GIL; what is found is then compared as a whole. The search is linear in the text
except for these comparisons, which a `WorkBudget` bounds. If more than `_MOST_ALIKE` patterns have the
same first bytes, these count as a match up to the end of the line.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, MatchKind

Span = tuple[int, int]
"""Start and end of a part of a text."""

KEY: Final = 16
MOST_ALIKE: Final = 16
_SLICE: Final = 4096
_COMPARED_BYTES: Final = 256


class TooCostlyError(Exception):
    """A text needs more work than its budget; it must be hidden as a whole."""


class WorkBudget:
    """How much work one text may cost: comparisons, and bytes of what it hides."""

    __slots__ = ("_left",)

    def __init__(self, units: int) -> None:
        self._left = units

    def spend(self, units: int) -> None:
        """Take units off the budget. TooCostlyError if there are not enough left."""
        self._left -= units
        if self._left < 0:
            raise TooCostlyError


class MultiPatternSearch:
    """A set of patterns; empty ones are ignored."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._alike: dict[bytes, list[bytes]] = {}
        for pattern in sorted({pattern for pattern in patterns if pattern}, key=len, reverse=True):
            self._alike.setdefault(pattern[:KEY], []).append(pattern)
        self._keys = sorted(self._alike)
        self._automaton = BytesAhoCorasick(self._keys, matchkind=MatchKind.Standard) if self._keys else None

    def __bool__(self) -> bool:
        """Return whether there are any patterns."""
        return bool(self._keys)

    def spans(self, text: bytes, budget: WorkBudget, least: int | None = None) -> list[Span]:
        """Return the spans of all matches, in no order; a match inside another one may be omitted.

        With `least`, the first `least` or more bytes of a pattern at the end of the text match too.
        """
        found: list[Span] = []
        if self._automaton is None:
            return found
        view = memoryview(text)
        for at in range(0, len(text), _SLICE):
            window = view[at : at + _SLICE + KEY - 1]
            for key, start, _ in self._automaton.find_matches_as_indexes(window, overlapping=True):
                if start < _SLICE:
                    budget.spend(1)
                    end = self._match_end(text, at + start, self._alike[self._keys[key]], budget, least)
                    if end:
                        found.append((at + start, end))
        if least is not None:
            found += self._partial_key(text, least)
        return found

    def _match_end(
        self, text: bytes, at: int, alike: list[bytes], budget: WorkBudget, least: int | None
    ) -> int:
        """Return where the longest of patterns with the same first bytes ends; 0 if none of them is there."""
        if len(alike) > MOST_ALIKE:
            return _line_end(text, at)
        for pattern in alike:
            budget.spend(len(pattern) // _COMPARED_BYTES)
            if text.startswith(pattern, at):
                return at + len(pattern)
            if least is not None and at + len(pattern) > len(text) and pattern.startswith(text[at:]):
                return len(text)
        return 0

    def _partial_key(self, text: bytes, least: int) -> list[Span]:
        """Return the longest end of the text that is shorter than a key and begins one."""
        for at in range(max(0, len(text) - KEY + 1), len(text) - least + 1):
            tail = text[at:]
            first = bisect_left(self._keys, tail)
            if first < len(self._keys) and self._keys[first].startswith(tail):
                return [(at, len(text))]
        return []


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end
