"""The notation of schedules, retries and filters on the command line."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from runwright.cli.output import Json, Thing
from runwright.core.errors import InvalidError

_DEFAULT_RETRIES: Final = 3
_DEFAULT_DELAY: Final = "2s"


def schedule_body(text: str) -> Thing:
    """Parse `every:<duration>`, `at:<time>`, or a cron expression."""
    mode, _, rest = text.strip().partition(":")
    if mode == "every":
        return {"mode": "every", "interval": rest.strip()}
    if mode == "at":
        return {"mode": "at", "time": _rfc3339(rest.strip())}
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


def hmac_body(entries: Sequence[str]) -> Thing:
    """Parse entries of `name=value`; `headers` is a list separated by commas."""
    pairs = [entry.partition("=") for entry in entries]
    if any(not equals for _, equals, _ in pairs):
        raise InvalidError({"--webhook-hmac": ["Must be name=value, for example encoding=base64."]})
    body: Thing = {name.strip(): value for name, _, value in pairs}
    if "headers" in body:
        body["headers"] = [*str(body["headers"]).split(",")]
    return body


def _rfc3339(text: str) -> str:
    """Return a time with its zone, by default UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or "T" not in text or ":" not in text:
        raise InvalidError({"--schedule": ["Must be a time such as at:2026-05-01T09:00:00Z."]})
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
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
