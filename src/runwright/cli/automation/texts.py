"""The notation of schedules, retries, filters and times on the command line."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from runwright.cli.remote import Json, Thing
from runwright.cli.table import columns
from runwright.core.errors import InvalidError
from runwright.cron.go_durations import DurationError, parse_duration

_DEFAULT_RETRIES: Final = 3
_DEFAULT_DELAY: Final = "2s"


def schedule_body(text: str) -> Thing:
    """Parse `every:<duration>`, `at:<time>`, or a cron expression."""
    mode, _, rest = text.strip().partition(":")
    if mode == "every":
        return {"mode": "every", "interval": rest.strip()}
    if mode == "at":
        return {"mode": "at", "time": _rfc3339(_time("--schedule", rest.strip()))}
    return {"mode": "cron", "expr": text.strip()}


def retry_body(text: str) -> Thing:
    """Parse `none`, `backoff`, or `backoff:<retries>:<delay>`."""
    strategy, *rest = text.strip().split(":")
    if strategy == "none" and not rest:
        return {"strategy": "none", "max_retries": 0, "base_delay": ""}
    if strategy != "backoff" or len(rest) not in {0, 2} or (rest and not rest[0].isdigit()):
        raise InvalidError({"--retry": ["Must be none, backoff, or backoff:<retries>:<delay>."]})
    retries, delay = rest or (str(_DEFAULT_RETRIES), _DEFAULT_DELAY)
    return {"strategy": "backoff", "max_retries": int(retries), "base_delay": delay}


def filter_body(entries: Sequence[str]) -> Thing:
    """Parse entries of `path=value`, separated by commas."""
    pairs = [part.partition("=") for entry in entries for part in entry.split(",") if part.strip()]
    if any(not equals for _, equals, _ in pairs):
        raise InvalidError({"--filter": ["Must be path=value, for example data.ref=main."]})
    return {path.strip(): value.strip() for path, _, value in pairs}


def moment(option: str, text: str | None, now: datetime) -> str | None:
    """Parse a time, or a duration before now."""
    if text is None:
        return None
    try:
        ago = parse_duration(text)
    except DurationError:
        return _rfc3339(_time(option, text))
    if ago <= timedelta():
        raise InvalidError({option: ["Must be a time, or a positive duration such as 2h."]})
    return _rfc3339(now - ago)


def _time(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or "T" not in text or ":" not in text:
        raise InvalidError({option: ["Must be a time such as 2026-05-01T09:00:00Z, or a duration."]})
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def schedule_text(schedule: Json) -> str:
    """Return a schedule in the notation of `--schedule`."""
    if not isinstance(schedule, dict):
        return ""
    value = schedule.get("expr") or schedule.get("interval") or schedule.get("time") or ""
    return f"{schedule.get('mode')}:{value}"


def retry_text(retry: Json) -> str:
    """Return a retry policy in the notation of `--retry`."""
    if not isinstance(retry, dict) or retry.get("strategy") != "backoff":
        return "none"
    return f"backoff:{retry.get('max_retries')}:{retry.get('base_delay')}"


def limit_text(limit: Json) -> str:
    """Return a fire limit as `12/1h`."""
    return f"{limit.get('max')}/{limit.get('window')}" if isinstance(limit, dict) else ""


def plain(value: Json) -> str:
    """Return a value as readable text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={plain(each)}" for name, each in value.items())
    return str(value)


def section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Return a title with rows of names and values; empty values are left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join([title, *(f"  {name.ljust(width)}  {value}" for name, value in shown)])


def table(header: Sequence[str], things: Sequence[Thing], *cells: str) -> str:
    """Return a table with a row per entry."""
    if not things:
        return "none"
    return columns(header, [[plain(thing.get(cell)) for cell in cells] for thing in things])
