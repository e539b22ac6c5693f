"""Types and rules that the schemas of several resources share."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.core.json_depth import nests_too_deeply
from runwright.core.json_text import is_json
from runwright.http.fields import require_url, storable_text
from runwright.http.validation import Problem, Rule
from runwright.outbox.client.url import OutgoingPolicy

Uid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2025-03-15T10:00:00.000Z"])]
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]

_NUL: Final = b"\\u0000"
_FIELDS: Final = dict[str, msgspec.Raw]
_BACKSLASH: Final = b"\\\\"


def https_url(field: str, policy: OutgoingPolicy) -> Rule:
    """Return the rule that the URL in a field is https and allowed by the policy."""
    check = require_url(policy)

    def checked(url: str) -> Iterable[Problem]:
        secure = url[:8].lower() == "https://"
        for where, message in check(url):
            yield where, message if secure else f"{field} must use HTTPS."

    return checked


def text_of_at_most(length: int, *, blank: bool = True) -> Rule:
    """Return the rule for text that can be stored."""

    def check(text: str) -> Iterable[Problem]:
        if not blank and not text.strip():
            yield "", "This field may not be blank."
        if len(text) > length:
            yield "", f"Ensure this field has no more than {length} characters."
        yield from storable_text(text)

    return check


def list_of(rule: Callable[[str], Iterable[Problem]], most: int) -> Rule:
    """Return the rule for a list whose elements obey a rule."""

    def check(texts: Sequence[str]) -> Iterable[Problem]:
        if len(texts) > most:
            yield "", f"Ensure this field has no more than {most} elements."
        for index, text in enumerate(texts[:most]):
            for _, message in rule(text):
                yield str(index), message

    return check


def is_uuid(text: str) -> Iterable[Problem]:
    """Check a UUID in any spelling."""
    if canonical_uuid(text) is None:
        yield "", "Must be a valid UUID."


def canonical_uuid(text: str) -> str | None:
    """Return a UUID in lower case with its hyphens; None for other text."""
    try:
        return str(uuid.UUID(text)) if text.isascii() else None
    except ValueError:
        return None


def object_of_at_most(length: int, *, nullable: bool = False) -> Rule:
    """Return the rule for a JSON object that is stored unchanged."""

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
                msgspec.json.decode(text, type=_FIELDS | None if nullable else _FIELDS)
            except msgspec.ValidationError:
                yield "", "Must be an object."
            else:
                if not is_json(text):
                    yield "", "Must hold only numbers and text that can be stored."

    return check
