r"""Decodes escapes (`\u0041`, `%41`, `&#65;`) and maps positions back to the source text.

All escapes of a text are decoded in one pass, and what results may be decoded again. Decoding is lenient:
what any common language writes as an escape is decoded, with digits of either case, whether the escape
was necessary or not. Text is UTF-8 bytes; `\xe9` is a byte.

A text is decoded in slices, between which `rest` is called: no step takes long, whatever is in the text.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from html.entities import html5
from itertools import accumulate
from typing import Final

from runwright.secrets.multi_pattern_search import Span

_ESCAPE: Final = re.compile(
    rb"(\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|u\{[\da-fA-F]{1,6}\}"
    rb"|U[\da-fA-F]{8}|x[\da-fA-F]{2}|[0-3][0-7]{2}|[\s\S])"
    rb"|%(?:[\da-fA-F]{2}|u[\da-fA-F]{4})"
    rb"|&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,30});)"
)
MARKERS: Final = (b"\\", b"%", b"&")
"""Every escape begins with one of these."""

_LETTERS: Final = dict(zip(b"nrtbfvae0", b"\n\r\t\b\f\v\a\x1b\0", strict=True))
_HIGH_SURROGATE: Final = re.compile(rb"\\+u[dD][89abAB][0-9a-fA-F]{2}\Z")
_LONGEST_ESCAPE: Final = 36
_SLICE: Final = 8192
_BYTE_LENGTH: Final = 4
"""The length of `\\x41` and `\\101`."""

_PAIR_LENGTH: Final = 12
"""The length of a surrogate pair, `\\ud83d\\ude00`."""

_LAST_CHARACTER: Final = 0x10FFFF
_MOST_REMEMBERED: Final = 20_000

Rest = Callable[[], None]


def do_not_rest() -> None:
    """Do nothing."""


class _Decoded(dict[bytes, bytes]):
    """What each escape decodes to, of those that were seen lately."""

    def __missing__(self, escape: bytes) -> bytes:
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        decoded = self[escape] = _decode_one(escape)
        return decoded


_DECODED: Final = _Decoded()


def has_escapes(text: bytes) -> bool:
    """Return whether the text may have escapes."""
    return any(marker in text for marker in MARKERS)


def decode(text: bytes, rest: Rest = do_not_rest) -> bytes:
    """Return the text with every escape decoded once."""
    decoded = []
    for parts in _parts(text, rest):
        parts[1::2] = map(_DECODED.__getitem__, parts[1::2])
        decoded.append(b"".join(parts))
    return b"".join(decoded)


def source_spans(text: bytes, spans: Sequence[Span], rest: Rest = do_not_rest) -> list[Span]:
    """Map spans of `decode(text)` to spans of the text; they contain escapes as a whole."""
    if not spans:
        return []
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    starts: list[int] = []  # of escapes and what is between them, in the decoded text
    sources: list[int] = []
    at = source = 0
    for parts in _parts(text, rest):
        lengths = list(map(len, parts))
        sizes = lengths.copy()
        sizes[1::2] = map(len, map(_DECODED.__getitem__, parts[1::2]))
        decoded_end = at + sum(sizes)
        if decoded_end > first:
            starts += accumulate(sizes[:-1], initial=at)
            sources += accumulate(lengths[:-1], initial=source)
        at, source = decoded_end, source + sum(lengths)
        if at >= last:
            break
    starts.append(at)
    sources.append(source)
    return [
        (_source(starts, sources, start, 0), _source(starts, sources, end - 1, 1)) for start, end in spans
    ]


def last_escape(text: bytes) -> int:
    """Return the position of a possible escape near the end of the text, else its length."""
    start = max(0, len(text) - _LONGEST_ESCAPE)
    found = [at for at in (text.find(marker, start) for marker in MARKERS) if at >= 0]
    return _before_escape(text, min(found), 0) if found else len(text)


def _parts(text: bytes, rest: Rest) -> Iterator[list[bytes]]:
    """Yield for each slice of the text what is no escape and what is one, in turn."""
    start = 0
    while start < len(text):
        end = _slice_end(text, start)
        yield _ESCAPE.split(text[start:end])
        start = end
        rest()


def _slice_end(text: bytes, start: int) -> int:
    """Return a position that is in no escape, if one begins at `start` or is no escape."""
    end = start + _SLICE
    if end >= len(text):
        return len(text)
    found = [at for at in (text.find(marker, end - _LONGEST_ESCAPE, end) for marker in MARKERS) if at >= 0]
    if not found:
        return end
    at = min(found)
    before = _before_escape(text, at, start)
    # Where all is backslashes, each two of them are an escape.
    return before if before > start else start + (at - start) // 2 * 2


def _before_escape(text: bytes, at: int, start: int) -> int:
    """Step back over the backslashes of nested escapes and over the first half of a surrogate pair."""
    at = start + len(text[start:at].rstrip(b"\\"))
    half = _HIGH_SURROGATE.search(text, max(start, at - _LONGEST_ESCAPE), at)
    return start + len(text[start : half.start()].rstrip(b"\\")) if half else at


def _source(starts: list[int], sources: list[int], position: int, side: int) -> int:
    """Return where in the source one decoded byte begins (`side` 0) or ends (1)."""
    index = bisect_right(starts, position) - 1
    begin, end = sources[index], sources[index + 1]
    size, length = starts[index + 1] - starts[index], end - begin
    if size == length:  # no escape
        return begin + position - starts[index] + side
    return end if side else begin


def _decode_one(escape: bytes) -> bytes:
    if escape.startswith(b"&"):
        return _decode_entity(escape)
    if escape.startswith(b"%"):
        return _character(_hex(escape[2:])) if escape[1:2] == b"u" else bytes([_hex(escape[1:])])
    return _decode_backslash(escape)


def _decode_backslash(text: bytes) -> bytes:
    if len(text) == 2:  # noqa: PLR2004
        return bytes([_LETTERS.get(text[1], text[1])])
    if len(text) == _BYTE_LENGTH and text[1:2] != b"u":
        return bytes([_hex(text[2:]) if text[1:2] == b"x" else int(text[1:], 8)])
    if len(text) == _PAIR_LENGTH:
        return _character(0x10000 + ((_hex(text[2:6]) & 0x3FF) << 10) + (_hex(text[8:12]) & 0x3FF))
    return _character(_hex(text[2:].strip(b"{}")))


def _decode_entity(text: bytes) -> bytes:
    name = text[1:]
    if not name.startswith(b"#"):
        return html5[name.decode()].encode() if name.decode() in html5 else text
    digits = name[1:-1]
    return _character(_hex(digits[1:]) if digits[:1] in b"xX" else int(digits))


def _hex(digits: bytes) -> int:
    return int(digits, 16)


def _character(code: int) -> bytes:
    return chr(min(code, _LAST_CHARACTER)).encode("utf-8", "surrogatepass")
