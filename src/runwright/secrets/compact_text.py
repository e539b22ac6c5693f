"""A text without all that is no letter or digit, to find encoded data that separators or line ends split."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from runwright.secrets.multi_pattern_search import Span

_KEPT: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_DELETED: Final = bytes(set(range(256)) - set(_KEPT))
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]+")
_PREFIX: Final = b"0x"
_FEWEST_PREFIXES: Final = 3
_NO_NUMBER: Final = re.compile(rb"[^0-9]+")
_SLICE: Final = 8192
_NOT_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))


class CompactText:
    """The characters of base64, base32 and hex in a text, in one alphabet."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._compact = text.translate(_STANDARD, _DELETED)

    def variants(self) -> Iterator[bytes]:
        """Yield the compact text, and the same without `0x` if it may list bytes (`0x61, 0x62`)."""
        yield self._compact
        if self._compact.count(_PREFIX) >= _FEWEST_PREFIXES:
            yield self._compact.replace(_PREFIX, b"")

    def source_spans(self, variant: bytes, spans: Sequence[Span]) -> list[Span]:
        """Map spans of a variant to spans of the text."""
        if not spans:
            return []
        if len(variant) < len(self._compact):
            lengths = [len(part) for part in self._compact.split(_PREFIX)]
            starts = list(accumulate((n + len(_PREFIX) for n in lengths), initial=0))
            spans = _mapped(spans, list(accumulate(lengths, initial=0)), starts)
        runs = [match.span() for match in _RUN.finditer(self._text)]
        begins = list(accumulate((end - start for start, end in runs), initial=0))
        return _mapped(spans, begins, [start for start, _ in runs])


def _mapped(spans: Sequence[Span], begins: list[int], sources: list[int]) -> list[Span]:
    """Map spans where the run that begins at `begins[i]` is at `sources[i]` of the source."""

    def source(position: int) -> int:
        index = bisect_right(begins, position) - 1
        return sources[index] + position - begins[index]

    return [(source(start), source(end - 1) + 1) for start, end in spans]


class NumberList:
    """The decimal numbers in a text, with a comma before and after each: `[97 98]` is `,97,98,`."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def may_have(self, numbers: int) -> bool:
        """Return whether there are that many digits and separators, quickly."""
        digits = len(self._text.translate(None, _NOT_DIGITS))
        return digits >= numbers and len(self._text) - digits >= numbers - 1

    def compact(self) -> bytes:
        """Return the numbers, with a comma before the first one and after the last one."""
        text = self._text
        slices = [_NO_NUMBER.sub(b",", text[at : at + _SLICE]) for at in range(0, len(text), _SLICE)]
        # A separator that was cut has become two.
        return b"," + b"".join(slices).replace(b",,", b",").strip(b",") + b","

    def source_spans(self, spans: Sequence[Span]) -> list[Span]:
        """Map spans of `compact()`, which begin and end with commas, to the numbers in the text."""
        if not spans:
            return []
        runs = [match.span() for match in re.finditer(rb"[0-9]+", self._text)]
        begins = list(accumulate((end - start + 1 for start, end in runs), initial=1))
        inner = [(start + 1, max(start + 2, end - 1)) for start, end in spans]
        return _mapped(inner, begins, [start for start, _ in runs])
