r"""Ways to write one character as several: `\u0041`, `%41`, `&#65;`. Undone, with the way back.

Undoing is lenient: whatever some language writes as an escape is read as one, in either case of its
digits, needed or not. Text is bytes of UTF-8.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

Span = tuple[int, int]
"""Where something begins and where it has ended."""

_DIGITS: Final = "0123456789abcdefABCDEF"
_PERCENT: Final = {f"%{a}{b}".encode(): bytes([int(a + b, 16)]) for a in _DIGITS for b in _DIGITS}
_LETTERS: Final = {b"\\" + bytes([byte]): bytes([byte]) for byte in range(256)} | {
    b"\\" + bytes([letter]): bytes([byte])
    for letter, byte in zip(b"nrtbfvae0", b"\n\r\t\b\f\v\a\x1b\0", strict=True)
}
_ENTITIES: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_SLASHED: Final = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|u\{[\da-fA-F]{1,6}\}"
    rb"|U[\da-fA-F]{8}|x[\da-fA-F]{2}|[0-3][0-7]{2}|[\s\S])"
)
_BYTE_LENGTH: Final = 4
"""Of `\\x41` and `\\101`."""

_PAIR_LENGTH: Final = 12
"""Of `\\ud83d\\ude00`, one character in two halves."""

_LAST_CHARACTER: Final = 0x10FFFF


class Escape(msgspec.Struct, frozen=True):
    """One way; its `marker` is in every text that uses it."""

    marker: bytes
    pattern: re.Pattern[bytes]
    read: Callable[[re.Match[bytes]], bytes]

    def undo(self, text: bytes) -> bytes:
        """Return the text with every such escape read."""
        return self.pattern.sub(self.read, text)

    def in_source(self, text: bytes, spans: Sequence[Span]) -> list[Span]:
        """Return where in the text the given spans of `undo(text)` come from; whole escapes only."""
        starts: list[int] = []
        escapes: list[tuple[int, Span]] = []  # where each has ended when undone, and its place in the text
        at = last = 0
        for escape in self.pattern.finditer(text):
            at += escape.start() - last
            starts.append(at)
            at += len(self.read(escape))
            last = escape.end()
            escapes.append((at, escape.span()))

        def place(position: int) -> Span:
            """Return where the byte at a position comes from."""
            index = bisect_right(starts, position) - 1
            if index < 0:
                return position, position + 1
            ended, source = escapes[index]
            if position < ended:
                return source
            return position - ended + source[1], position - ended + source[1] + 1

        return [(place(start)[0], place(end - 1)[1]) for start, end in spans]


def _read_slashed(match: re.Match[bytes]) -> bytes:
    text = match[0]
    if len(text) == 2:  # noqa: PLR2004
        return _LETTERS[text]
    if len(text) == _BYTE_LENGTH:
        return bytes([int(text[1:], 8) if text[1:2] != b"x" else int(b"0" + text[1:], 0)])
    if len(text) == _PAIR_LENGTH:
        return _character(0x10000 + ((int(text[2:6], 16) & 0x3FF) << 10) + (int(text[8:12], 16) & 0x3FF))
    return _character(int(text[2:].strip(b"{}"), 16))


def _read_slashed_characters(match: re.Match[bytes]) -> bytes:
    text = match[0]
    if text.startswith(b"\\x") and len(text) == _BYTE_LENGTH:
        return _character(int(b"0" + text[1:], 0))
    return _read_slashed(match)


def _read_percent(match: re.Match[bytes]) -> bytes:
    return _PERCENT[match[0]]


def _read_form(match: re.Match[bytes]) -> bytes:
    return b" " if match[0] == b"+" else _read_percent(match)


def _read_entity(match: re.Match[bytes]) -> bytes:
    name = match[1]
    if not name.startswith(b"#"):
        return _ENTITIES[name]
    return _character(int(b"0" + name[1:], 0) if name[1:2] in b"xX" else int(name[1:]))


def _character(code: int) -> bytes:
    return chr(min(code, _LAST_CHARACTER)).encode("utf-8", "surrogatepass")


SLASHED: Final = Escape(b"\\", _SLASHED, _read_slashed)
r"""JSON, JavaScript, Python's `repr` of text and bytes, shells; `\xc3` is a byte."""

SLASHED_CHARACTERS: Final = Escape(b"\\x", _SLASHED, _read_slashed_characters)
r"""The same where `\xe9` is a character."""

PERCENT: Final = Escape(b"%", re.compile(rb"%[\da-fA-F]{2}"), _read_percent)
FORM: Final = Escape(b"+", re.compile(rb"\+|%[\da-fA-F]{2}"), _read_form)
"""Percent escapes where a plus sign is a space."""

ENTITY: Final = Escape(
    b"&", re.compile(rb"&(amp|lt|gt|quot|apos|#\d{1,7}|#[xX][\da-fA-F]{1,6});"), _read_entity
)
