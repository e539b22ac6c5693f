"""Identifiers: a short prefix and a lower-case ULID, so that ids sort by creation time.

Within one process, ids of the same millisecond are strictly increasing too; lists and cursors rely
on that order. Ids are compared byte-wise (collation "C" in SQL).
"""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NewType

from ulid import ULID, ULIDGenerator

Prefix = Literal[
    "wkr",
    "job",
    "sch",
    "tck",
    "exe",
    "req",
    "key",
    "evt",
    "sec",
    "wh",
    "whd",
    "agt",
    "exn",
    "trg",
    "ten",
    "aud",
    "blk",
    "bfl",
    "ses",
]

AgentId = NewType("AgentId", str)
BackfillId = NewType("BackfillId", str)
DeliveryId = NewType("DeliveryId", str)
EndpointId = NewType("EndpointId", str)
EventId = NewType("EventId", str)
ExecutionId = NewType("ExecutionId", str)
ItemId = NewType("ItemId", str)
JobId = NewType("JobId", str)
OperationId = NewType("OperationId", str)
OwnerId = NewType("OwnerId", str)
RunId = NewType("RunId", str)
ScheduleId = NewType("ScheduleId", str)
TaskId = NewType("TaskId", str)
WorkerId = NewType("WorkerId", str)
"""Ids where a function takes two by position: the tenant's is a `str`, which none of these accepts."""

_ID: Final = re.compile(r"[a-z]{2,4}_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_generator: Final = ULIDGenerator()


def new_id(prefix: Prefix, at: datetime) -> str:
    """Return a new id whose time part is `at`, for example `job_01jd…`."""
    return f"{prefix}_{str(_generator.generate(_milliseconds(at))).lower()}"


def is_id(prefix: Prefix, text: str) -> bool:
    """Return whether `text` has the form of an id with this prefix."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None


def id_of_number(prefix: Prefix, at: datetime, number: int) -> str:
    """Return the id for a time and a number; it is the same for the same arguments."""
    milliseconds = max(_milliseconds(at), 0)
    content = milliseconds.to_bytes(6, "big") + number.to_bytes(10, "big")
    return f"{prefix}_{str(ULID.from_bytes(content)).lower()}"


def number_of(some_id: str) -> int:
    """Return the number that `id_of_number` made an id of."""
    return int.from_bytes(ULID.from_str(some_id.rpartition("_")[2].upper()).bytes[6:], "big")


def floor_id(prefix: Prefix, at: datetime) -> str:
    """Return the smallest id with the time part `at`.

    It is the smallest of all for times before 1970.
    """
    return id_of_number(prefix, at, 0)


def time_of(some_id: str) -> datetime:
    """Return the time part of an id."""
    return _EPOCH + ULID.from_str(some_id.rpartition("_")[2].upper()).milliseconds * _MILLISECOND


def uuid_of(some_id: str) -> str:
    """Return the 128 bits of an id as a UUID, for APIs with UUIDs; `id_of_uuid` is the inverse."""
    return str(uuid.UUID(bytes=ULID.from_str(some_id.rpartition("_")[2].upper()).bytes))


def id_of_uuid(prefix: Prefix, text: str) -> str | None:
    """Return the id with this UUID (with hyphens, in either case); None if the text is not a UUID."""
    if not _UUID.fullmatch(text):
        return None
    return f"{prefix}_{str(ULID.from_bytes(uuid.UUID(text).bytes)).lower()}"


def _milliseconds(at: datetime) -> int:
    """Return whole milliseconds since 1970, in integer arithmetic because floats may round down."""
    return (at - _EPOCH) // _MILLISECOND
