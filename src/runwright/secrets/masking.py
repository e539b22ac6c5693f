"""Hides secrets in what comes out of a job, however they are written there.

Looked for, as the value is and without white space around it: the text itself, its base64 (both
alphabets, with or without padding, at any place inside longer data, and as wrapped lines), its
hex digits. For a value of several lines or a JSON document also each line and each string of
eight characters or more. All of that also behind escapes (of JSON, URLs, forms, Python, shells,
XML), which are undone first, two deep. What is found becomes `***`, whole.

Text that was cut off (`Torn`) may end in the beginning of a secret; that is hidden too.

Where nothing is found, as on nearly every line, the cost is a search per value and form. It does
not depend on what user code writes more than linearly, nor on how many lines the secrets have.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, Final

from runwright.secrets.escape_decoding import (
    ENTITY,
    FORM,
    PERCENT,
    SLASHED,
    SLASHED_CHARACTERS,
    Escape,
    Span,
)
from runwright.secrets.multi_pattern_search import MultiPatternSearch

MASK: Final = b"***"
PART_CHARACTERS: Final = 8
"""Lines of a secret, and strings in it, that are shorter are too common to be hidden by themselves."""

_DEPTH: Final = 2
_WRAPS: Final = (64, 76)
_SHORTEST_WRAPPED: Final = 16
_SHOWN_BYTES: Final = 50
"""So many bytes of a buffer node shows as hex digits, however long it is."""

_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_SIXTY_FOUR: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_HIDDEN_JSON: Final = b'"***"'
_MOST_IN_JSON: Final = 5000
"""Where more is found than that, hiding each would take long; the whole document is hidden."""

_TORN_ESCAPE_BYTES: Final = 24
_HIGH_SURROGATE: Final = re.compile(rb"\\+u[dD][89abAB][0-9a-fA-F]{2}\Z")
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\[\s\S][^"\\]*)*"|-?\d[-+.\deE]*')


class Torn(IntEnum):
    """How a text may have been cut off: so much of a secret at its end is taken for one."""

    CUT = 1
    """It was cut at a limit."""

    OPEN = 4
    """It ends without the end of its line, perhaps on purpose."""


class Masker:
    """Hides the values that it is made with."""

    def __init__(self, values: Iterable[str]) -> None:
        given = {value for value in values if value.strip()}
        whole = {form for value in given for form in _byte_forms(value.strip())}
        parts = {part for value in given for part in _parts(value)}
        self._raw = MultiPatternSearch(whole | {part.encode() for part in parts} | set(_quoted(given)))
        self._sixty_four = MultiPatternSearch(
            {core for form in whole for core in _cores(form)} | set(_wrapped(given))
        )
        self._hex = MultiPatternSearch(form.hex().encode() for form in whole)
        self._separated = MultiPatternSearch(digits for form in whole for digits in _separated_hex(form))
        self._shortest_word = min(self._sixty_four.shortest, self._hex.shortest)
        self._fewest_gaps = min((min(len(form), _SHOWN_BYTES) for form in whole), default=1) - 1
        self._escapes: list[Escape] = [SLASHED, SLASHED_CHARACTERS, PERCENT, ENTITY]
        if any(" " in value for value in given):
            self._escapes.append(FORM)

    def mask(self, text: bytes, torn: Torn | None = None) -> bytes:
        """Return the text with every secret in it hidden."""
        whole = text
        if torn is Torn.CUT:
            # The last escape may have been cut apart: it is hidden, and what is before it is looked at.
            whole = text[: _last_escape(text, self._escapes)]
        spans = self._look(whole, _DEPTH, torn, set())
        if len(whole) < len(text):
            spans.append((len(whole), len(text)))
        return _replace(text, spans) if spans else text

    def mask_text(self, text: str, torn: Torn | None = None) -> str:
        """Return the text with every secret in it hidden."""
        data = text.encode("utf-8", "surrogatepass")
        masked = self.mask(data, torn)
        return text if masked is data else masked.decode("utf-8", "replace")

    def mask_json(self, document: bytes) -> bytes:
        """Return valid JSON with every secret in its strings, keys and numbers hidden.

        A secret that reaches over several of them hides the whole document.
        """
        spans = _merge(self._look(document, _DEPTH, None, set()))
        if not spans:
            return document
        if len(spans) > _MOST_IN_JSON:
            return _HIDDEN_JSON
        masked = self._mask_tokens(document, spans)
        return _HIDDEN_JSON if self._look(masked, _DEPTH, None, set()) else masked

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
            return token if self.mask(token) is token else _HIDDEN_JSON
        text: str = json.loads(token)
        masked = self.mask_text(text)
        return token if masked is text else json.dumps(masked, ensure_ascii=False).encode("utf-8", "replace")

    def _look(self, text: bytes, depth: int, torn: Torn | None, seen: set[bytes]) -> list[Span]:
        """Return where secrets are, in the text itself or behind its escapes."""
        spans = self._find(text, torn)
        if not depth:
            return spans
        for escape in self._escapes:
            if escape.marker in text:
                plain = escape.undo(text)
                if plain != text and plain not in seen:
                    seen.add(plain)
                    inner = self._look(plain, depth - 1, torn, seen)
                    if inner:
                        spans += escape.in_source(text, inner)
        return spans

    def _find(self, text: bytes, torn: Torn | None) -> list[Span]:
        spans = self._raw.spans(text)
        # Most lines have no word that is long enough to be an encoded secret.
        if max(map(len, text.split()), default=0) >= self._shortest_word:
            standard = text.translate(_STANDARD)
            spans += [_with_edges(text, span) for span in self._sixty_four.spans(standard)]
            spans += self._hex.spans(text.lower())
        if max(text.count(b" "), text.count(b":")) >= self._fewest_gaps:
            spans += self._separated.spans(text.lower())
        if torn is not None:
            spans += self._find_unfinished(text, torn)
        return spans

    def _find_unfinished(self, text: bytes, torn: Torn) -> list[Span]:
        lower = text.lower()
        starts = (
            self._raw.unfinished(text, torn),
            self._sixty_four.unfinished(text.translate(_STANDARD), torn),
            self._hex.unfinished(lower, torn),
            self._separated.unfinished(lower, torn),
        )
        return [(start, len(text)) for start in starts if start >= 0]


def _merge(spans: list[Span]) -> list[Span]:
    """Return the spans in order, those that meet as one."""
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
    """Return from where on, near the end of a text, there may be escapes, else its length."""
    start = max(0, len(text) - _TORN_ESCAPE_BYTES)
    found = (text.find(escape.marker[:1], start) for escape in escapes)
    return _before_escape(text, min((at for at in found if at >= 0), default=len(text)))


def _before_escape(text: bytes, at: int) -> int:
    """Step back over the slashes of an escape within an escape, and over the first half of a character."""
    if text[at : at + 1] != b"\\":
        return at
    at = len(text[:at].rstrip(b"\\"))
    half = _HIGH_SURROGATE.search(text, max(0, at - _TORN_ESCAPE_BYTES), at)
    return len(text[: half.start()].rstrip(b"\\")) if half else at


def _with_edges(text: bytes, span: Span) -> Span:
    """Widen a base64 span by the characters that hold bits of the secret and of what is beside it."""
    start, end = span
    if start and text[start - 1] in _SIXTY_FOUR:
        start -= 1
    if end < len(text) and text[end] in _SIXTY_FOUR:
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
    """Yield the base64 characters that the secret alone decides, for each place it may begin at."""
    for lead in range(3):
        text = base64.b64encode(bytes(lead) + form)
        first = -(-8 * lead // 6)
        yield text[first : 8 * (lead + len(form)) // 6]


def _wrapped(values: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines that tools wrap the base64 of a long value into."""
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
    """Yield what values with an apostrophe become between a shell's."""
    for value in values:
        if "'" in value:
            for quote in ("'\\''", "'\"'\"'"):
                yield value.strip().replace("'", quote).encode()


def _parts(value: str) -> Iterator[str]:
    """Yield the lines and strings of a value that are secrets by themselves."""
    plain = SLASHED.undo(value.encode()).decode("utf-8", "ignore") if "\\" in value else value
    for text in (value, plain, *_strings(value)):
        for line in text.splitlines():
            part = line.strip()
            if len(part) >= PART_CHARACTERS:
                yield part


def _strings(value: str) -> list[str]:
    """Return the strings in a value that is a JSON document."""
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
