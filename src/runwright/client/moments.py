"""Times in requests: points in time, and how long ago."""

import math
import re
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from runwright.client.errors import SetupError

Moment: TypeAlias = datetime | timedelta | str
"""A `datetime` with a zone, a `timedelta` (so long ago), or text: `2026-05-01T09:00:00Z`, `24h`, `-24h`."""

_AGO: Final = re.compile(r"[0-9]{1,4}[smhdw]")
_UNITS: Final = (("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800))
_LARGEST: Final = 9_999


def moment_text(moment: Moment) -> str:
    """Return a time as the API reads it. What lies so far back that it is rounded is rounded up."""
    if isinstance(moment, str):
        return f"-{moment}" if _AGO.fullmatch(moment) else moment
    if isinstance(moment, timedelta):
        return _ago(abs(moment.total_seconds()))
    if moment.tzinfo is None:
        raise SetupError(f"The time {moment.isoformat()} has no time zone.")
    return moment.isoformat()


def renamed_times(given: dict[str, Any]) -> dict[str, object]:
    """Return a selection with `since` and `until` as the API names and reads them."""
    for ours, theirs in (("since", "created_after"), ("until", "created_before")):
        if ours in given:
            given[theirs] = moment_text(given.pop(ours))
    return given


def _ago(seconds: float) -> str:
    for unit, length in _UNITS:
        count = math.ceil(seconds / length)
        if count <= _LARGEST:
            return f"-{count}{unit}"
    raise SetupError("That is too long ago.")
