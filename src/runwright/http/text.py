"""Rules for text and times that several forms share."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from runwright.http.checks import Problem

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2100
_LONGEST_ID: Final = 64


def storable_text(text: str) -> Iterable[Problem]:
    """PostgreSQL text cannot hold the character NUL."""
    if "\0" in text:
        yield "", "Must not hold the character NUL."


def plausible_id(text: str) -> Iterable[Problem]:
    """An id of any kind; whether there is such a thing is for the services to say."""
    if not 1 <= len(text) <= _LONGEST_ID:
        yield "", f"Must have 1 to {_LONGEST_ID} characters."
    yield from storable_text(text)


def plausible_time(at: datetime) -> Iterable[Problem]:
    """Keeps out the ends of the calendar, where converting between zones overflows."""
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        yield "", f"Must be between the years {_FIRST_YEAR} and {_LAST_YEAR}."
