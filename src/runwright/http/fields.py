"""Rules and spellings that the fields of several resources share: texts, ids, times, URLs, nested JSON."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec

from runwright.http.validation import Problem
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrlError, parse_target

S = TypeVar("S", bound=msgspec.Struct)

LONGEST_SECRET: Final = 256

_AGO: Final = re.compile(r"-([0-9]{1,4})([smhdw])", re.ASCII)
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SOME_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2100
_LONGEST_ID: Final = 64


def storable_text(text: str) -> Iterable[Problem]:
    """Refuse the character NUL, which PostgreSQL cannot store in text."""
    if "\0" in text:
        yield "", "Must not hold the character NUL."


def plausible_id(text: str) -> Iterable[Problem]:
    """Refuse what cannot be an id of any kind; whether the object exists is checked by the services."""
    if not 1 <= len(text) <= _LONGEST_ID:
        yield "", f"Must have 1 to {_LONGEST_ID} characters."
    yield from storable_text(text)


def plausible_time(at: datetime) -> Iterable[Problem]:
    """Refuse the ends of the calendar, where converting between time zones overflows."""
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        yield "", f"Must be between the years {_FIRST_YEAR} and {_LAST_YEAR}."


def read_moment(text: str, now: datetime) -> datetime | None:
    """Return the time that a text names: ISO 8601 with a zone, or before now (`-24h`); None for others."""
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        at = msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        return None
    return None if any(plausible_time(at)) else at


def plausible_moment(text: str) -> Iterable[Problem]:
    """Refuse what `read_moment` cannot read."""
    if read_moment(text, _SOME_TIME) is None:
        yield (
            "",
            "Must be an ISO 8601 date and time with a zone, or a time before now like -24h (s, m, h, d, w).",
        )


def require_url(policy: OutgoingPolicy) -> Callable[[str], Iterable[Problem]]:
    """Return the rule that the policy for outgoing requests allows a URL."""

    def check(url: str) -> Iterable[Problem]:
        try:
            reason = policy.refuse_target(parse_target(url))
        except OutgoingUrlError as error:
            yield "", str(error)
        else:
            if reason is not None:
                yield "", f"{reason[0].upper()}{reason[1:]}; nothing is sent there."

    return check


def check_signing_secret(secret: str) -> Iterable[Problem]:
    """Check a secret that signs outgoing requests."""
    if not 1 <= len(secret) <= LONGEST_SECRET or not all("!" <= character <= "~" for character in secret):
        yield "", f"Must have 1 to {LONGEST_SECRET} printable ASCII characters, without spaces."


def format_time(at: datetime) -> str:
    """Return a UTC time in ISO 8601, with milliseconds and `Z`."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def format_optional_time(at: datetime | None) -> str | None:
    """Return a UTC time as `format_time` does; None for None."""
    return None if at is None else format_time(at)


def to_out(kind: type[S], value: object, **others: object) -> S:
    """Return a `kind` with the fields of `value` that have the same names, times as text, and `others`."""
    for name in kind.__struct_fields__:
        if name not in others:
            field = getattr(value, name)
            others[name] = format_time(field) if isinstance(field, datetime) else field
    return kind(**others)
