"""The schemas of the stream: its filter, its position, and the data of its events."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.errors import InvalidError
from runwright.events.event_filter import TypePatterns
from runwright.events.feed_stream import FeedEvent, JobHint, LogHint, ProgressHint
from runwright.events.log_position import LogPosition, parse_position
from runwright.http.ava.envelopes import Time, optional
from runwright.http.ava.events.schemas import (
    SubjectIds,
    TypeNames,
    check_subject_ids,
    check_type_names,
    type_patterns,
)
from runwright.http.ava.jobs.schemas import ProgressOut
from runwright.http.fields import to_out
from runwright.http.validation import Validator

LOG_TYPE, PROGRESS_TYPE = "job.log", "job.progress"
"""The types by which filters select hints at log lines and at progress."""

_LAST_EVENT_ID: Final = b"last-event-id"
_LONGEST_POSITION: Final = 512


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of the stream."""

    type: (
        Annotated[
            TypeNames,
            Meta(
                description="As for the list of events; `ava.job.log`: hints at log lines,"
                " `ava.job.progress`: what jobs report."
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[type]")
    subject_id: SubjectIds | UnsetType = field(default=UNSET, name="filter[subject_id]")
    worker_id: (
        Annotated[
            str, Meta(min_length=1, max_length=64, description="Only events of this worker, and of its jobs.")
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[worker_id]")


STREAM_EVENTS: Final = Validator(StreamQuery, {"type": check_type_names, "subject_id": check_subject_ids})


class OpenOut(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is open: everything that happens from now on will come."""

    tenant_id: str
    server_version: str
    resumed: bool


class LogHintOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job has written log lines; read its log from where you are."""

    type: Literal["ava.job.log"] = "ava.job.log"
    subject_id: str
    worker_id: str


class ProgressHintOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job reports how far it is."""

    type: Literal["ava.job.progress"] = "ava.job.progress"
    subject_id: str
    worker_id: str
    progress: ProgressOut


class HeartbeatOut(msgspec.Struct, frozen=True):
    """Nothing has happened."""

    at: Time


class GoneOut(msgspec.Struct, frozen=True):
    """Events may be missing between the last id and this one."""

    message: str = "What has happened since is not known any more: read again what you show."


class EndOut(msgspec.Struct, frozen=True):
    """The server ends the stream."""

    reason: Literal["server_stopping", "too_slow", "access_ended", "unavailable"]
    message: str


class StreamFilter(msgspec.Struct, frozen=True):
    """Which events and hints a stream has."""

    patterns: TypePatterns
    subject_ids: frozenset[str] | None
    worker_id: str | None

    def __call__(self, part: FeedEvent | JobHint) -> bool:
        if not isinstance(part, FeedEvent):
            hint_type = LOG_TYPE if isinstance(part, LogHint) else PROGRESS_TYPE
            return self._fits(hint_type, part.subject_id, part.worker_id)
        event = part.logged.event
        worker_id = event.subject_id if event.type.startswith("worker.") else part.logged.worker_id
        return self._fits(event.type, event.subject_id, worker_id)

    def _fits(self, event_type: str, subject_id: str, worker_id: str | None) -> bool:
        return (
            self.patterns.match(event_type)
            and (self.subject_ids is None or subject_id in self.subject_ids)
            and self.worker_id in {None, worker_id}
        )


def stream_filter(query: StreamQuery) -> StreamFilter:
    subject_ids = None if query.subject_id is UNSET else frozenset(query.subject_id.split(","))
    return StreamFilter(type_patterns(query.type), subject_ids, optional(query.worker_id))


def progress_hint_out(hint: ProgressHint) -> ProgressHintOut:
    return ProgressHintOut(
        subject_id=hint.subject_id, worker_id=hint.worker_id, progress=to_out(ProgressOut, hint)
    )


def read_stream_position(headers: Mapping[bytes, bytes]) -> LogPosition | None:
    """Return the position after which an interrupted stream continues; None for a new stream."""
    raw = headers.get(_LAST_EVENT_ID, b"")
    if not raw:
        return None
    position = parse_position(raw.decode("latin-1")) if len(raw) <= _LONGEST_POSITION else None
    if position is None:
        raise InvalidError({"Last-Event-ID": ["Is not the id of an event of this stream."]})
    return position
