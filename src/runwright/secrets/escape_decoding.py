r"""Decodes escapes (`\u0041`, `%41`, `&#65;`) and maps positions back to the source text.

Decoding is lenient: what any common language writes as an escape is decoded, with digits of either
case, whether the escape was necessary or not. Text is UTF-8 bytes.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

Span = tuple[int, int]
"""Start and end of a part of a text."""

_DIGITS: Final = "0123456789abcdefABCDEF"
_PERCENT: Final = {f"%{a}{b}".encode(): bytes([int(a + b, 16)]) for a in _DIGITS for b in _DIGITS}
_LETTERS: Final = {b"\\" + bytes([byte]): bytes([byte]) for byte in range(256)} | {
    b"\\" + bytes([letter]): bytes([byte])
    for letter, byte in zip(b"nrtbfvae0", b"\n\r\t\b\f\v\a\x1b\0", strict=True)
}
_ENTITIES: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_BACKSLASH: Final = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|u\{[\da-fA-F]{1,6}\}"
    rb"|U[\da-fA-F]{8}|x[\da-fA-F]{2}|[0-3][0-7]{2}|[\s\S])"
)
_BYTE_LENGTH: Final = 4
"""The length of `\\x41` and `\\101`."""

_PAIR_LENGTH: Final = 12
"""The length of a surrogate pair, `\\ud83d\\ude00`."""

_LAST_CHARACTER: Final = 0x10FFFF


class Escape(msgspec.Struct, frozen=True):
    """One escape syntax. Every text that uses it contains `marker`."""

    marker: bytes
    pattern: re.Pattern[bytes]
    decode_match: Callable[[re.Match[bytes]], bytes]

    def decode(self, text: bytes) -> bytes:
        """Return the text with every escape of this syntax decoded."""
        return self.pattern.sub(self.decode_match, text)

    def source_spans(self, text: bytes, spans: Sequence[Span]) -> list[Span]:
        """Map spans of `decode(text)` to spans of the text; they contain escapes as a whole."""
        starts: list[int] = []
        escapes: list[tuple[int, Span]] = []  # the end of each in the decoded text, its span in the source
        at = last = 0
        for escape in self.pattern.finditer(text):
            at += escape.start() - last
            starts.append(at)
            at += len(self.decode_match(escape))
            last = escape.end()
            escapes.append((at, escape.span()))

        def source(position: int) -> Span:
            """Return the span in the source of one byte of the decoded text."""
            index = bisect_right(starts, position) - 1
            if index < 0:
                return position, position + 1
            decoded_end, span = escapes[index]
            if position < decoded_end:
                return span
            return position - decoded_end + span[1], position - decoded_end + span[1] + 1

        return [(source(start)[0], source(end - 1)[1]) for start, end in spans]


def _decode_backslash(match: re.Match[bytes]) -> bytes:
    text = match[0]
    if len(text) == 2:  # noqa: PLR2004
        return _LETTERS[text]
    if len(text) == _BYTE_LENGTH:
        return bytes([int(text[1:], 8) if text[1:2] != b"x" else int(b"0" + text[1:], 0)])
    if len(text) == _PAIR_LENGTH:
        return _character(0x10000 + ((int(text[2:6], 16) & 0x3FF) << 10) + (int(text[8:12], 16) & 0x3FF))
    return _character(int(text[2:].strip(b"{}"), 16))


def _decode_backslash_latin1(match: re.Match[bytes]) -> bytes:
    text = match[0]
    if text.startswith(b"\\x") and len(text) == _BYTE_LENGTH:
        return _character(int(b"0" + text[1:], 0))
    return _decode_backslash(match)


def _decode_percent(match: re.Match[bytes]) -> bytes:
    return _PERCENT[match[0]]


def _decode_form(match: re.Match[bytes]) -> bytes:
    return b" " if match[0] == b"+" else _decode_percent(match)


def _decode_entity(match: re.Match[bytes]) -> bytes:
    name = match[1]
    if not name.startswith(b"#"):
        return _ENTITIES[name]
    return _character(int(b"0" + name[1:], 0) if name[1:2] in b"xX" else int(name[1:]))


def _character(code: int) -> bytes:
    return chr(min(code, _LAST_CHARACTER)).encode("utf-8", "surrogatepass")


BACKSLASH: Final = Escape(b"\\", _BACKSLASH, _decode_backslash)
r"""JSON, JavaScript, shells, and Python's `repr` of text and bytes; `\xc3` is a byte."""

BACKSLASH_LATIN1: Final = Escape(b"\\x", _BACKSLASH, _decode_backslash_latin1)
r"""The same, except that `\xe9` is a character."""

PERCENT: Final = Escape(b"%", re.compile(rb"%[\da-fA-F]{2}"), _decode_percent)
FORM: Final = Escape(b"+", re.compile(rb"\+|%[\da-fA-F]{2}"), _decode_form)
"""Percent escapes with plus signs for spaces."""

ENTITY: Final = Escape(
    b"&", re.compile(rb"&(amp|lt|gt|quot|apos|#\d{1,7}|#[xX][\da-fA-F]{1,6});"), _decode_entity
)
