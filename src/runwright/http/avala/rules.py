"""Rules that several forms share."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from runwright.http.checks import Problem, Rule
from runwright.http.nesting import nests_too_deeply
from runwright.http.targets import require_url
from runwright.http.text import storable_text
from runwright.outbox.client.url import OutgoingPolicy

_NUL: Final = b"\\u0000"
_BACKSLASH: Final = b"\\\\"


def https_url(field: str, policy: OutgoingPolicy) -> Rule:
    """Return the rule that something may be sent to the URL in a field."""
    check = require_url(policy)

    def checked(url: str) -> Iterable[Problem]:
        secure = url[:8].lower() == "https://"
        for where, message in check(url):
            yield where, message if secure else f"{field} must use HTTPS."

    return checked


def text_of_at_most(length: int, *, blank: bool = True) -> Rule:
    """Return the rule for text that can be kept."""

    def check(text: str) -> Iterable[Problem]:
        if not blank and not text.strip():
            yield "", "This field may not be blank."
        if len(text) > length:
            yield "", f"Ensure this field has no more than {length} characters."
        yield from storable_text(text)

    return check


def list_of(rule: Callable[[str], Iterable[Problem]], most: int) -> Rule:
    """Return the rule for a list of texts that each keep a rule."""

    def check(texts: Sequence[str]) -> Iterable[Problem]:
        if len(texts) > most:
            yield "", f"Ensure this field has no more than {most} elements."
        for index, text in enumerate(texts[:most]):
            for _, message in rule(text):
                yield str(index), message

    return check


def is_uuid(text: str) -> Iterable[Problem]:
    """The rule for a UUID, in any of its spellings."""
    if canonical_uuid(text) is None:
        yield "", "Must be a valid UUID."


def canonical_uuid(text: str) -> str | None:
    """Return a UUID in lower case with its hyphens; None for other text."""
    try:
        return str(uuid.UUID(text)) if text.isascii() else None
    except ValueError:
        return None


def object_of_at_most(length: int, *, nullable: bool = False) -> Rule:
    """Return the rule for a JSON object that is kept as it is."""

    def check(raw: msgspec.Raw) -> Iterable[Problem]:
        text = bytes(raw)
        if len(text) > length:
            yield "", f"Must have at most {length} bytes of JSON."
        elif nests_too_deeply(text):
            yield "", "Is nested too deeply."
        elif _NUL in text.replace(_BACKSLASH, b""):
            yield "", "Must not hold the character NUL."
        else:
            try:
                msgspec.json.decode(text, type=dict | None if nullable else dict)
            except msgspec.ValidationError:
                yield "", "Must be an object."

    return check
