"""Durations as Go writes them: `300ms`, `1.5h`, `2h45m`; printed as Go prints them: `1h0m0s`."""

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

LONGEST: Final = 200

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TERM: Final = re.compile(r"(?=.)([0-9]*(?:\.[0-9]*)?)([^0-9.]*)", re.DOTALL)
"""A number and its unit, either of which may be missing."""

_MOST: Final = 2**63 - 1
_SMALLEST: Final = timedelta(microseconds=1)


class DurationError(ValueError):
    """The text is not a duration; the message is Go's."""


def parse_duration(text: str) -> timedelta:
    """Return the duration to the microsecond; a duration other than zero is never rounded to zero."""
    sign, rest = (-1 if text.startswith("-") else 1), re.sub(r"\A[+-]", "", text)
    if rest == "0":
        return timedelta()
    if not rest or len(text) > LONGEST:
        raise _invalid(text)
    nanoseconds = _sum(rest, text)
    if nanoseconds > _MOST:
        raise _invalid(text)
    duration = timedelta(microseconds=round(Fraction(nanoseconds, 1_000)))
    return sign * (duration or (_SMALLEST if nanoseconds else timedelta()))


def format_duration(duration: timedelta) -> str:
    """Return the duration as Go prints it."""
    if not duration:
        return "0s"
    if duration < timedelta():
        return "-" + format_duration(-duration)
    microseconds = duration // _SMALLEST
    if microseconds < 1_000:  # noqa: PLR2004  a thousand of one unit are the next
        return f"{microseconds}µs"
    if microseconds < 1_000_000:  # noqa: PLR2004
        return _fraction(microseconds, 1_000) + "ms"
    minutes, left = divmod(microseconds, 60_000_000)
    seconds = _fraction(left, 1_000_000) + "s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _sum(rest: str, text: str) -> int:
    """Return the sum of the terms in nanoseconds, each rounded down as Go does."""
    total = 0
    for number, unit in _TERM.findall(rest):
        if number in {"", "."}:
            raise _invalid(text)
        if not unit:
            raise DurationError(f"time: missing unit in duration {_quoted(text)}")
        if unit not in _NANOSECONDS:
            raise DurationError(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
        total += int(Fraction("0" + number.rstrip(".")) * _NANOSECONDS[unit])
    return total


def _fraction(value: int, whole: int) -> str:
    digits = len(str(whole)) - 1
    return f"{value // whole}.{value % whole:0{digits}d}".rstrip("0").rstrip(".")


def _invalid(text: str) -> DurationError:
    return DurationError(f"time: invalid duration {_quoted(text)}")


def _quoted(text: str) -> str:
    return '"' + text[:LONGEST].replace("\\", "\\\\").replace('"', '\\"') + '"'
