"""What a telemetry event is, and the function that takes one.

An event is a frozen struct. Its class determines the name in log lines and metrics (`JobHandedBack`
is logged as `job_handed_back`), the level, and whether it is logged or only counted. Payloads hold
ids, counts, durations and error texts; never a secret or a tenant's data.

Code that does the work is given an `Emit` and knows nothing of the destinations. The classes are in
one catalogue (`events/`) and not beside their features: metrics are derived from particular
events, and this room may not import the features (docs/decisions/0025).
"""

import re
import traceback
from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar, Final

import msgspec

_WORD_START: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Level(StrEnum):
    """The severity of an event in the log."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _event_name(class_name: str) -> str:
    return _WORD_START.sub("_", class_name).lower()


class TelemetryEvent(msgspec.Struct, frozen=True, tag_field="event", tag=_event_name):
    """Something that happened, with its payload."""

    level: ClassVar[Level] = Level.INFO
    logged: ClassVar[bool] = True
    """False for events that are too frequent to be logged one by one; they are only counted."""

    @classmethod
    def name(cls) -> str:
        """Return the name of the event in log lines and metrics."""
        return str(cls.__struct_config__.tag)


class WarningEvent(TelemetryEvent, frozen=True):
    """Something that an operator may have to act on."""

    level = Level.WARNING


class ErrorEvent(TelemetryEvent, frozen=True):
    """A fault of the server, with its traceback."""

    level = Level.ERROR
    error: str
    exception: str
    """The traceback, under the name that log tools expect."""


class TimedEvent(TelemetryEvent, frozen=True):
    """Something that took time and is over."""

    duration_seconds: float | None
    """None where it ended before it was started."""


Emit = Callable[[TelemetryEvent], None]
"""Takes an event; never raises and never blocks."""


def ignore_event(_event: TelemetryEvent) -> None:
    """Take the events of a short command, which has no log of its own."""


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an exception as the `exception` of an event."""
    return "".join(traceback.format_exception(error)).rstrip()


def error_text(error: BaseException) -> str:
    """Return an exception as the `error` of an event: its type and its message."""
    return f"{type(error).__name__}: {error}"
