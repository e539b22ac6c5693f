"""How long a receiver asks to be left alone: the Retry-After header."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_SECONDS: Final = 86_400.0
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def wait_seconds(step: float, retry_after: str | None, now: datetime) -> float:
    """Return the seconds until the next attempt: at least the step of the ladder, at most a day.

    Retry-After is a number of seconds, also with a fraction, or a date in any of HTTP's three forms; anything
    else counts as none.
    """
    return min(max(step, _seconds(retry_after or "", now)), LONGEST_SECONDS)


def _seconds(text: str, now: datetime) -> float:
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now).total_seconds()
