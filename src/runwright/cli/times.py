"""Times and durations, as people type and read them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from runwright.cli.exits import UsageError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|[smhdw])")
_SECONDS_IN_MINUTE: Final = 60
_SECONDS_IN_HOUR: Final = 3600
_HOURS_UNTIL_DAYS: Final = 48


def parse_duration(text: str) -> timedelta | None:
    """Return the duration that `90s`, `1h30m` or `7d` is; None if it is none."""
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    seconds = sum(float(part[1]) * (0.001 if part[2] == "ms" else _UNITS[part[2]]) for part in parts)
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return None


def require_duration(option: str, text: str) -> timedelta:
    """Return the duration that an option names. UsageError if it is none."""
    duration = parse_duration(text)
    if duration is None:
        raise UsageError(f"{option} is no duration: {text!r}.", hint="Write 500ms, 30s, 5m or 1h30m.")
    return duration


def parse_moment(option: str, text: str, now: datetime, *, ahead: bool = False) -> datetime:
    """Return the time that an option names: ISO 8601, or a duration before now (`ahead`: after now)."""
    duration = parse_duration(text.lstrip("-+" if ahead else "-"))
    try:
        if duration is not None:
            return now + duration if ahead else now - duration
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        example = "+10m" if ahead else "24h"
        raise UsageError(
            f"{option} is no time: {text!r}.",
            hint=f"Write {example}, or a time such as 2026-05-01T09:00:00Z.",
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.astimezone().astimezone(UTC)


def iso(moment: datetime) -> str:
    """Return a time as the API takes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(moment: datetime | None) -> str:
    """Return a time in UTC, to the second; empty where there is none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_iso(text: str | datetime | None) -> datetime | None:
    """Return a time of the API."""
    return datetime.fromisoformat(text) if isinstance(text, str) else text


def ago(moment: str | datetime | None, now: datetime) -> str:
    """Return how long ago a time of the API was, such as `2m10s`."""
    at = read_iso(moment)
    return "" if at is None else duration_text((now - at).total_seconds())


def clock(moment: datetime | None) -> str:
    """Return a time in the zone of this machine, to the second; empty where there is none."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def milliseconds(value: float | None) -> str:
    """Return a duration in milliseconds as text such as `340 ms`, `1.8 s` or `2m10s`."""
    if value is None:
        return ""
    if value < 1000:  # noqa: PLR2004  a second
        return f"{value:.0f} ms"
    return f"{value / 1000:.1f} s" if value < 60_000 else duration_text(value / 1000)  # noqa: PLR2004  a minute


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units, such as `45s`, `2m10s`, `3h05m` or `12d`."""
    whole = max(0, int(seconds))
    if whole < _SECONDS_IN_MINUTE:
        return f"{whole}s"
    if whole < _SECONDS_IN_HOUR:
        return f"{whole // 60}m{whole % 60:02}s"
    hours = whole // 3600
    return f"{hours}h{whole // 60 % 60:02}m" if hours < _HOURS_UNTIL_DAYS else f"{hours // 24}d"


def bytes_text(count: int) -> str:
    """Return a size such as `340 B`, `1.2 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":  # noqa: PLR2004  steps of SI units
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"  # noqa: PLR2004
        size /= 1000
    raise AssertionError
