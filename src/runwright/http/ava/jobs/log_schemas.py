"""The schemas of the logs of jobs."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.core.job_state import JobStatus
from runwright.http.ava.envelopes import JsonObject, Time
from runwright.http.fields import format_time, storable_text, to_out
from runwright.http.validation import Validator
from runwright.job_views.model import JobLogs, LogLine
from runwright.jobs.model import NULL

_LAST_EVENT_ID: Final = b"last-event-id"
_LARGEST_SEQ: Final = 2**53
_SEQ: Final = re.compile(rb"[0-9]{1,19}")

_LineText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Only lines with this text, in any case, in the message or in `name=value` of a field.",
    ),
]


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The lines to return."""

    level: (
        Annotated[Literal["debug", "info", "warn", "error"], Meta(description="Only lines of this level.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[level]")
    q: _LineText | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=500, description="The number of lines to return.")] = 100
    after: (
        Annotated[int, Meta(ge=0, le=_LARGEST_SEQ, description="Only lines after the one with this `seq`.")]
        | UnsetType
    ) = UNSET
    tail: Annotated[bool, Meta(description="The last lines instead of the first ones.")] = False
    before: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=_LARGEST_SEQ,
                description="The last lines before the one with this `seq`: those before a tail.",
            ),
        ]
        | UnsetType
    ) = UNSET


class LogStreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The lines to follow."""

    level: (
        Annotated[Literal["debug", "info", "warn", "error"], Meta(description="Only lines of this level.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[level]")
    q: _LineText | UnsetType = UNSET
    after: Annotated[
        int, Meta(ge=0, le=_LARGEST_SEQ, description="Only lines after the one with this `seq`.")
    ] = 0


class LogLineOut(msgspec.Struct, frozen=True):
    """One line of a job's log."""

    ts: Time
    level: Annotated[str, Meta(extra_json_schema={"enum": ["debug", "info", "warn", "error"]})]
    msg: str
    seq: Annotated[int, Meta(description="The number of the line in the job, ascending; use it as `after`.")]
    attempt: Annotated[int, Meta(description="The attempt that wrote it.")]
    fields: (
        Annotated[JsonObject, Meta(description="What a handler logged with it, if anything.")] | UnsetType
    ) = UNSET


class JobLogsOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a job's log; `next_after` (where not null) continues it."""

    job_id: str
    job_status: JobStatus
    logs: list[LogLineOut]
    next_after: Annotated[
        int | None, Meta(description="`after` of the next page; null if there are no more lines yet.")
    ]
    next_before: (
        Annotated[
            int | None,
            Meta(description="Of a tail: `before` of the page before it; null if it is the first."),
        ]
        | UnsetType
    ) = UNSET


READ_LOGS: Final = Validator(LogQuery, {"q": storable_text})
STREAM_LOGS: Final = Validator(LogStreamQuery, {"q": storable_text})


def read_end(query: LogQuery) -> int | None:
    """Return the number before which the last lines are wanted; None for the first ones after `after`."""
    if query.before is UNSET and not query.tail:
        return None
    if query.after is not UNSET:
        raise InvalidError({"after": ["Cannot be combined with tail or before."]})
    return _LARGEST_SEQ if query.before is UNSET else query.before


def read_last_event(headers: Mapping[bytes, bytes]) -> int | None:
    """Return the `seq` after which an interrupted stream continues; None for a new stream."""
    raw = headers.get(_LAST_EVENT_ID, b"")
    if not raw:
        return None
    if not _SEQ.fullmatch(raw) or int(raw) > _LARGEST_SEQ:
        raise InvalidError({"Last-Event-ID": ["Is not the id of an event of this stream."]})
    return int(raw)


def line_out(line: LogLine) -> LogLineOut:
    fields = UNSET if line.fields == NULL else line.fields
    return LogLineOut(format_time(line.ts), line.level, line.msg, line.seq, line.attempt, fields)


def logs_out(logs: JobLogs, *, tail: bool) -> JobLogsOut:
    """Return a page of a log as the API shows it; `tail`: it was read from the end."""
    before = logs.next_before if tail else UNSET
    return to_out(JobLogsOut, logs, logs=[line_out(line) for line in logs.logs], next_before=before)
