"""The forms in which a secret may appear in a text, as patterns to search for.

Raw forms are searched in the text and in what its escapes decode to. Encoded forms (base64, base32, hex)
are searched in the same texts without all that is no letter or digit, so that line breaks, separators,
quotes and indentation within them make no difference.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from runwright.secrets.escape_decoding import decode, has_escapes

PART_CHARACTERS: Final = 8
"""Lines of a secret, and strings in it, that are shorter are too common to be masked separately."""

_SHORTEST_COMPACT: Final = 8
"""Shorter encoded forms would be found by chance where separators are ignored."""

_WRAPS: Final = (64, 76)
_SHORTEST_WRAPPED: Final = 16
_SHOWN_BYTES: Final = 50
"""Node prints at most this many bytes of a buffer, as hex digits."""

_LONGEST_TWICE: Final = 4096
"""Longer secrets are not looked for in base64 of base64, and in base32."""

_DEPTH: Final = 3
_ESCAPE_LETTERS: Final = frozenset(bytes([letter]) for letter in b"nrtbfvae0123uUx")
_HEX_PAIR: Final = re.compile(rb"[\da-fA-F]{2}|u[\da-fA-F]{4}")
_ENTITY_BYTES: Final = 34
_LATIN1_END: Final = 256
_OPEN_ESCAPE: Final = re.compile(rb"(?:\\[^\\]{0,9}|%[\da-fA-F]?|&#?[xX]?[A-Za-z\d]{0,31})\Z")
_SHORTEST_TRIMMED: Final = 6


class SecretForms:
    """All forms of a set of secrets."""

    def __init__(self, values: Iterable[str]) -> None:
        given = {value for value in values if value.strip()}
        whole = {form for value in given for form in _byte_forms(value.strip())}
        utf16 = {value.strip().encode("utf-16-le", "surrogatepass") for value in given}
        parts = {form for value in given for part in _parts(value) for form in _byte_forms(part)}
        self.spaced = any(" " in value for value in given)
        """Whether a form (`a+b`) may have a plus sign for a space."""
        plain = whole | parts | utf16 | set(_quoted(given))
        self.raw = {one for form in plain for one in _decoded(form)}
        self.raw |= {
            one for form in whole for one in (form.hex("-").encode(), form.hex("-").upper().encode())
        }
        encoded = {one for form in whole | utf16 for one in (*_hex(form), *_base64(form))}
        encoded |= set(_wrapped(given))
        self.encoded = {form for form in encoded if len(form) >= _SHORTEST_COMPACT}
        short = encoded - self.encoded
        self.short = short | {form.translate(_URL_SAFE) for form in short}
        self.decimal = {decimal_form(form) for form in whole if len(form) >= _SHORTEST_TRIMMED}


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def decimal_form(data: bytes) -> bytes:
    """Return bytes as decimal numbers with a comma before and after each."""
    return b"," + ",".join(map(str, data)).encode() + b","


def _byte_forms(value: str) -> set[bytes]:
    """Return UTF-8, and what Basic authentication, `btoa` and `repr` make of characters up to U+00FF."""
    if value.isascii():
        return {value.encode()}
    mixed = (
        chr(code).encode("latin-1")
        if (code := ord(letter)) < _LATIN1_END
        else letter.encode(errors="replace")
        for letter in value
    )
    return {value.encode(errors="replace"), b"".join(mixed)}


def _decoded(form: bytes) -> Iterator[bytes]:
    """Yield a form, and what becomes of it where the text around it is decoded.

    That differs where the secret has something like an escape in it, or completes one that is before or
    after it.
    """
    yield form
    befores = [b""] if has_escapes(form) else []
    befores += [b"\\"] if form[:1] in _ESCAPE_LETTERS else []
    befores += [b"%"] if _HEX_PAIR.match(form) else []
    befores += [b"&"] if b";" in form[:_ENTITY_BYTES] else []
    for before in befores:
        plain = before + form
        for _ in range(_DEPTH):
            plain = decode(plain)
            yield plain
    begun = _OPEN_ESCAPE.search(form, max(0, len(form) - _ENTITY_BYTES))
    if begun is not None and begun.start() >= _SHORTEST_TRIMMED:
        yield form[: begun.start()]


def _hex(form: bytes) -> Iterator[bytes]:
    for digits in (form.hex(), form.hex().upper()):
        yield digits.encode()
        yield digits[: 2 * _SHOWN_BYTES].encode()


def _base64(form: bytes) -> Iterator[bytes]:
    """Yield base64, base64 of base64, and base32."""
    cores = list(_cores(form))
    yield from cores
    if len(form) <= _LONGEST_TWICE:
        yield from _cores32(form)
        for core in cores:
            yield from _cores(core)


def _cores(form: bytes) -> Iterator[bytes]:
    """Yield the base64 characters that depend on the secret alone, for each of its three alignments."""
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + form)
        first = -(-8 * lead // 6)
        yield text[first : 8 * (lead + len(form)) // 6]


def _cores32(form: bytes) -> Iterator[bytes]:
    """Yield the same of base32, for each of its five alignments."""
    for lead in range(5):
        text = base64.b32encode(bytes(lead) + form)
        first = -(-8 * lead // 5)
        yield text[first : 8 * (lead + len(form)) // 5]


def _wrapped(values: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines that the base64 of a long value has at the usual line lengths."""
    for value in values:
        text = base64.b64encode(value.encode(errors="replace")).rstrip(b"=")
        for width in _WRAPS:
            pieces = [text[at : at + width] for at in range(0, len(text), width)]
            if len(pieces) > 1:
                yield from (piece for piece in pieces if len(piece) >= _SHORTEST_WRAPPED)


def _quoted(values: Iterable[str]) -> Iterator[bytes]:
    """Yield values with an apostrophe as a shell quotes them."""
    for value in values:
        if "'" in value:
            for quote in ("'\\''", "'\"'\"'"):
                yield value.strip().replace("'", quote).encode(errors="replace")


def _parts(value: str) -> Iterator[str]:
    """Yield the lines and JSON strings of a value that are masked separately."""
    data = value.encode(errors="replace")
    plain = decode(data).decode("utf-8", "ignore") if "\\" in value else value
    for text in (value, plain, *_strings(value)):
        for line in text.splitlines():
            part = line.strip()
            if len(part) >= PART_CHARACTERS:
                yield part


def _strings(value: str) -> list[str]:
    """Return all strings of a value that is a JSON document."""
    if not value.lstrip().startswith(("{", "[")):
        return []
    try:
        pending: list[Any] = [json.loads(value)]
    except (ValueError, RecursionError):
        return []
    found = []
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            pending += one.values()
        elif isinstance(one, list):
            pending += one
    return found
