"""Replaces secrets in the output of a job with `***`, in whatever encoding they appear.

For each value, with and without surrounding white space, the masker finds: the text itself, also as
UTF-16; its base64 (both alphabets, with or without padding, at any offset inside longer data, of UTF-8 and
UTF-16, and base64 of that base64), base32 and hex digits, with any line breaks and separators in between;
its bytes as decimal numbers. For a value of several lines or a JSON document it also finds each line and
each string of eight characters or more. All of these are found behind escapes too (of JSON, URLs, forms,
Python, shells, XML), which are decoded up to `_DEPTH` times.

Truncated text (`Truncation`) may end with the first part of a secret; that is masked too.

The cost is linear in the text: for each text and each of its decoded forms, one search for all raw patterns
and one for all encoded ones. Matches are charged to a budget; a text that exceeds it is hidden as a whole.
"""

import json
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from runwright.secrets.compact_text import CompactText, NumberList
from runwright.secrets.escape_decoding import (
    Rest,
    decode,
    do_not_rest,
    has_escapes,
    last_escape,
    source_spans,
)
from runwright.secrets.multi_pattern_search import MultiPatternSearch, Span, TooCostlyError, WorkBudget
from runwright.secrets.secret_forms import SecretForms

MASK: Final = b"***"

_DEPTH: Final = 3
_SPACED: Final = bytes.maketrans(b"+", b" ")
_BASE64_CHARACTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_MASKED_JSON: Final = b'"***"'
_MOST_SPANS_IN_JSON: Final = 5000
"""With more matches than this, masking each takes too long; the whole document is masked."""

_LEAST_ENCODED: Final = 4
"""How many characters of an encoded secret at the end of a truncated text are masked."""

_BUDGET: Final = 20_000
_BYTES_PER_UNIT: Final = 64
"""The budget of a text: that many matches and comparisons, and one more for each that many bytes."""

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\[\s\S][^"\\]*)*"|-?\d[-+.\deE]*')


class Truncation(IntEnum):
    """How a text was truncated. The value is how many characters of a secret at its end are masked."""

    AT_LIMIT = 1
    """It was cut off at a length limit."""

    MID_LINE = 4
    """It ends without a line feed, possibly on purpose."""


class _Least(NamedTuple):
    """How many characters of a raw and of an encoded secret are masked at the end of a text, if any."""

    raw: int | None
    encoded: int | None


class Masker:
    """Masks a fixed set of secrets."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = SecretForms(values)
        self._spaced = forms.spaced
        self._raw = MultiPatternSearch(map(self._with_spaces, forms.raw))
        self._compact = MultiPatternSearch(forms.encoded)
        self._short = MultiPatternSearch(forms.short)
        self._decimal = MultiPatternSearch(forms.decimal)
        self._fewest_numbers = min((form.count(b",") - 1 for form in forms.decimal), default=0)

    def mask(
        self,
        text: bytes,
        truncation: Truncation | None = None,
        *,
        before: bytes = b"",
        continues: bool = False,
        rest: Rest = do_not_rest,
    ) -> bytes:
        """Return the text with every secret in it masked.

        `before`: text that precedes it and is not returned; a secret may begin there.
        `continues`: an encoded secret may begin at the end of the text and continue in the next one.
        `rest` is called between steps of a few milliseconds.
        """
        whole = text
        if truncation is Truncation.AT_LIMIT:
            # The last escape may be incomplete: it is masked, and only the text before it is searched.
            whole = text[: last_escape(text)]
        try:
            spans = self._search(before + whole if before else whole, truncation, rest, continues=continues)
        except TooCostlyError:
            return b"\n".join([MASK] * (text.count(b"\n") + 1))
        if before:
            cut = len(before)
            spans = [(max(start - cut, 0), end - cut) for start, end in spans if end > cut]
        if len(whole) < len(text):
            spans.append((len(whole), len(text)))
        return _replace(text, spans) if spans else text

    def mask_text(self, text: str, truncation: Truncation | None = None) -> str:
        """Return the text with every secret in it masked."""
        data = text.encode("utf-8", "surrogatepass")
        masked = self.mask(data, truncation)
        return text if masked is data else masked.decode("utf-8", "replace")

    def mask_json(self, document: bytes, *, rest: Rest = do_not_rest) -> bytes:
        """Return valid JSON with every secret in its strings, keys and numbers masked.

        If a secret extends over several of them, the whole document is masked.
        """
        try:
            spans = _merge(self._search(document, None, rest))
            if not spans:
                return document
            if len(spans) > _MOST_SPANS_IN_JSON:
                return _MASKED_JSON
            masked = self._mask_tokens(document, spans)
            return _MASKED_JSON if self._search(masked, None, rest) else masked
        except TooCostlyError:
            return _MASKED_JSON

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

    def _search(
        self, text: bytes, truncation: Truncation | None, rest: Rest, *, continues: bool = False
    ) -> list[Span]:
        """Return the spans of secrets in the text, also of those behind escapes."""
        budget = WorkBudget(_BUDGET + len(text) // _BYTES_PER_UNIT)
        least = _Least(truncation, _LEAST_ENCODED if continues or truncation is not None else None)
        texts = [text]
        spans = self._find(text, least, budget, rest)
        while len(texts) <= _DEPTH and has_escapes(texts[-1]):
            plain = decode(texts[-1], rest)
            if plain == texts[-1]:
                break
            found = self._find(plain, least, budget, rest)
            for source in reversed(texts):
                found = source_spans(source, found, rest)
            spans += found
            texts.append(plain)
        return spans

    def _find(self, text: bytes, least: _Least, budget: WorkBudget, rest: Rest) -> list[Span]:
        spans = self._raw.spans(self._with_spaces(text), budget, least.raw)
        rest()
        if self._short:
            spans += [
                _with_shared_characters(text, span) for span in self._short.spans(text, budget, least.raw)
            ]
        compact = CompactText(text)
        for encoded in compact.variants():
            found = self._compact.spans(encoded, budget, least.encoded)
            spans += [_with_shared_characters(text, span) for span in compact.source_spans(encoded, found)]
            rest()
        numbers = NumberList(text)
        if self._fewest_numbers and numbers.may_have(self._fewest_numbers):
            spans += numbers.source_spans(self._decimal.spans(numbers.compact(), budget))
        return spans

    def _with_spaces(self, text: bytes) -> bytes:
        """Return the text with spaces for plus signs, if a secret has spaces."""
        return text.translate(_SPACED) if self._spaced else text


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
