"""How times are written."""

from datetime import datetime


def time_wire(at: datetime) -> str:
    """Return a UTC time in ISO 8601, with milliseconds and `Z`."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def time_or_none(at: datetime | None) -> str | None:
    return None if at is None else time_wire(at)
