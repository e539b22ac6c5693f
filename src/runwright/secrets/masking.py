"""Replaces secrets in the output of a job with `***`, in whatever encoding they appear.

For each value, with and without surrounding white space, the masker finds: the text itself, its
base64 (both alphabets, with or without padding, at any offset inside longer data, and in wrapped
lines) and its hex digits. For a value of several lines or a JSON document it also finds each line
and each string of eight characters or more. All of these are found behind escapes too (of JSON,
URLs, forms, Python, shells, XML), which are decoded first, up to two levels deep.

Truncated text (`Truncation`) may end with the first part of a secret; that is masked too.

On a line without secrets, as nearly all are, the cost is one search for each value and encoding.
It grows at most linearly with the text and does not depend on how many lines the secrets have.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, Final

from runwright.secrets.escape_decoding import (
    BACKSLASH,
    BACKSLASH_LATIN1,
    ENTITY,
    FORM,
    PERCENT,
    Escape,
    Span,
)
from runwright.secrets.multi_pattern_search import MultiPatternSearch

MASK: Final = b"***"
PART_CHARACTERS: Final = 8
"""Lines of a secret, and strings in it, that are shorter are too common to be masked separately."""

_DEPTH: Final = 2
_WRAPS: Final = (64, 76)
_SHORTEST_WRAPPED: Final = 16
_SHOWN_BYTES: Final = 50
"""Node prints at most this many bytes of a buffer, as hex digits."""

_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_BASE64_CHARACTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_MASKED_JSON: Final = b'"***"'
_MOST_SPANS_IN_JSON: Final = 5000
"""With more matches than this, masking each takes too long; the whole document is masked."""

_LONGEST_ESCAPE_BYTES: Final = 24
_HIGH_SURROGATE: Final = re.compile(rb"\\+u[dD][89abAB][0-9a-fA-F]{2}\Z")
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\[\s\S][^"\\]*)*"|-?\d[-+.\deE]*')


class Truncation(IntEnum):
    """How a text was truncated. The value is how many characters of a secret at its end are masked."""

    AT_LIMIT = 1
    """It was cut off at a length limit."""

    MID_LINE = 4
    """It ends without a line feed, possibly on purpose."""


class Masker:
    """Masks a fixed set of secrets."""

    def __init__(self, values: Iterable[str]) -> None:
        given = {value for value in values if value.strip()}
        whole = {form for value in given for form in _byte_forms(value.strip())}
        parts = {part for value in given for part in _parts(value)}
        self._raw = MultiPatternSearch(whole | {part.encode() for part in parts} | set(_quoted(given)))
        self._base64 = MultiPatternSearch(
            {core for form in whole for core in _cores(form)} | set(_wrapped(given))
        )
        self._hex = MultiPatternSearch(form.hex().encode() for form in whole)
        self._separated = MultiPatternSearch(digits for form in whole for digits in _separated_hex(form))
        self._shortest_word = min(self._base64.shortest, self._hex.shortest)
        self._fewest_gaps = min((min(len(form), _SHOWN_BYTES) for form in whole), default=1) - 1
        self._escapes: list[Escape] = [BACKSLASH, BACKSLASH_LATIN1, PERCENT, ENTITY]
        if any(" " in value for value in given):
            self._escapes.append(FORM)

    def mask(self, text: bytes, truncation: Truncation | None = None) -> bytes:
        """Return the text with every secret in it masked."""
        whole = text
        if truncation is Truncation.AT_LIMIT:
            # The last escape may be incomplete: it is masked, and only the text before it is searched.
            whole = text[: _last_escape(text, self._escapes)]
        spans = self._search(whole, _DEPTH, truncation, set())
        if len(whole) < len(text):
            spans.append((len(whole), len(text)))
        return _replace(text, spans) if spans else text

    def mask_text(self, text: str, truncation: Truncation | None = None) -> str:
        """Return the text with every secret in it masked."""
        data = text.encode("utf-8", "surrogatepass")
        masked = self.mask(data, truncation)
        return text if masked is data else masked.decode("utf-8", "replace")

    def mask_json(self, document: bytes) -> bytes:
        """Return valid JSON with every secret in its strings, keys and numbers masked.

        If a secret extends over several of them, the whole document is masked.
        """
        spans = _merge(self._search(document, _DEPTH, None, set()))
        if not spans:
            return document
        if len(spans) > _MOST_SPANS_IN_JSON:
            return _MASKED_JSON
        masked = self._mask_tokens(document, spans)
        return _MASKED_JSON if self._search(masked, _DEPTH, None, set()) else masked

    def _mask_tokens(self, document: bytes, spans: list[Span]) -> bytes:
        done: list[bytes] = []
        last = index = 0
        for token in _TOKEN.finditer(document):
            start, end = token.span()
            while index < len(spans) and spans[index][1] <= start:
                index += 1
            if index < len(spans) and spans[index][0] < end:
                done += (document[last:start], self._mask_token(token[0]))
                last = end
        return b"".join([*done, document[last:]])

    def _mask_token(self, token: bytes) -> bytes:
        if not token.startswith(b'"'):
            return token if self.mask(token) is token else _MASKED_JSON
        text: str = json.loads(token)
        masked = self.mask_text(text)
        return token if masked is text else json.dumps(masked, ensure_ascii=False).encode("utf-8", "replace")

    def _search(self, text: bytes, depth: int, truncation: Truncation | None, seen: set[bytes]) -> list[Span]:
        """Return the spans of secrets in the text, also of those behind escapes."""
        spans = self._find(text, truncation)
        if not depth:
            return spans
        for escape in self._escapes:
            if escape.marker in text:
                plain = escape.decode(text)
                if plain != text and plain not in seen:
                    seen.add(plain)
                    inner = self._search(plain, depth - 1, truncation, seen)
                    if inner:
                        spans += escape.source_spans(text, inner)
        return spans

    def _find(self, text: bytes, truncation: Truncation | None) -> list[Span]:
        spans = self._raw.spans(text)
        # Few lines have a word that is long enough to be an encoded secret.
        if max(map(len, text.split()), default=0) >= self._shortest_word:
            standard = text.translate(_STANDARD)
            spans += [_with_shared_characters(text, span) for span in self._base64.spans(standard)]
            spans += self._hex.spans(text.lower())
        if max(text.count(b" "), text.count(b":")) >= self._fewest_gaps:
            spans += self._separated.spans(text.lower())
        if truncation is not None:
            spans += self._find_partial(text, truncation)
        return spans

    def _find_partial(self, text: bytes, truncation: Truncation) -> list[Span]:
        lower = text.lower()
        starts = (
            self._raw.partial_match(text, truncation),
            self._base64.partial_match(text.translate(_STANDARD), truncation),
            self._hex.partial_match(lower, truncation),
            self._separated.partial_match(lower, truncation),
        )
        return [(start, len(text)) for start in starts if start >= 0]


def _merge(spans: list[Span]) -> list[Span]:
    """Return the spans in order, with adjacent and overlapping ones merged."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _replace(text: bytes, spans: list[Span]) -> bytes:
    kept: list[bytes] = []
    last = 0
    for start, end in _merge(spans):
        kept += (text[last:start], MASK)
        last = end
    return b"".join([*kept, text[last:]])


def _last_escape(text: bytes, escapes: Iterable[Escape]) -> int:
    """Return the position of a possible escape near the end of the text, else its length."""
    start = max(0, len(text) - _LONGEST_ESCAPE_BYTES)
    found = (text.find(escape.marker[:1], start) for escape in escapes)
    return _before_escape(text, min((at for at in found if at >= 0), default=len(text)))


def _before_escape(text: bytes, at: int) -> int:
    """Step back over the backslashes of nested escapes and over the first half of a surrogate pair."""
    if text[at : at + 1] != b"\\":
        return at
    at = len(text[:at].rstrip(b"\\"))
    half = _HIGH_SURROGATE.search(text, max(0, at - _LONGEST_ESCAPE_BYTES), at)
    return len(text[: half.start()].rstrip(b"\\")) if half else at


def _with_shared_characters(text: bytes, span: Span) -> Span:
    """Extend a base64 span by the characters that encode bits of the secret and of adjacent data."""
    start, end = span
    if start and text[start - 1] in _BASE64_CHARACTERS:
        start -= 1
    if end < len(text) and text[end] in _BASE64_CHARACTERS:
        end += 1
    while text[end : end + 1] == b"=":
        end += 1
    return start, end


def _byte_forms(value: str) -> Iterator[bytes]:
    yield value.encode()
    if not value.isascii():
        try:
            yield value.encode("latin-1")  # what Basic authentication and btoa encode
        except UnicodeEncodeError:
            return


def _cores(form: bytes) -> Iterator[bytes]:
    """Yield the base64 characters that depend on the secret alone, for each of its three alignments."""
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + form)
        first = -(-8 * lead // 6)
        yield text[first : 8 * (lead + len(form)) // 6]


def _wrapped(values: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines that the base64 of a long value has at the usual line lengths."""
    for value in values:
        text = base64.b64encode(value.encode()).rstrip(b"=")
        for width in _WRAPS:
            pieces = [text[at : at + width] for at in range(0, len(text), width)]
            if len(pieces) > 1:
                yield from (piece for piece in pieces if len(piece) >= _SHORTEST_WRAPPED)


def _separated_hex(form: bytes) -> Iterator[bytes]:
    for separator in (" ", ":"):
        yield form.hex(separator).encode()
    yield form[:_SHOWN_BYTES].hex(" ").encode()


def _quoted(values: Iterable[str]) -> Iterator[bytes]:
    """Yield values with an apostrophe as a shell quotes them."""
    for value in values:
        if "'" in value:
            for quote in ("'\\''", "'\"'\"'"):
                yield value.strip().replace("'", quote).encode()


def _parts(value: str) -> Iterator[str]:
    """Yield the lines and JSON strings of a value that are masked separately."""
    plain = BACKSLASH.decode(value.encode()).decode("utf-8", "ignore") if "\\" in value else value
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
