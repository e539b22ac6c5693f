"""Identifiers: a short prefix and a lower-case ULID, so that ids sort by creation time.

Within one process, ids of the same millisecond are strictly increasing too; lists and cursors rely
on that order. Ids are compared byte-wise (collation "C" in SQL).
"""

import os
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NewType

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
    "shr",
    "qst",
    "qlk",
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
QuestionId = NewType("QuestionId", str)
RunId = NewType("RunId", str)
ScheduleId = NewType("ScheduleId", str)
TaskId = NewType("TaskId", str)
WorkerId = NewType("WorkerId", str)
"""Ids where a function takes two by position: the tenant's is a `str`, which none of these accepts."""

_ID: Final = re.compile(r"[a-z]{2,4}_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RANDOM_BITS: Final = 80
_RANDOM: Final = (1 << _RANDOM_BITS) - 1
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
_HALF_BITS: Final = 60
_HALF: Final = (1 << _HALF_BITS) - 1
_SHIFTS: Final = tuple(range(50, -1, -10))
_HIGH_SHIFTS: Final = (60, *_SHIFTS)
_DIGITS: Final = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")


class _Source:
    """Random numbers for ids, which ascend within a millisecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = -1
        self._last = 0

    def next(self, milliseconds: int) -> int:
        with self._lock:
            if milliseconds == self._milliseconds:
                self._last = (self._last + 1) & _RANDOM
            else:
                self._milliseconds = milliseconds
                self._last = int.from_bytes(os.urandom(_RANDOM_BITS // 8), "big")
            return self._last


_source: Final = _Source()


def new_id(prefix: Prefix, at: datetime) -> str:
    """Return a new id whose time part is `at`, for example `job_01jd…`."""
    milliseconds = _milliseconds(at)
    return f"{prefix}_{_text_of(milliseconds << _RANDOM_BITS | _source.next(milliseconds))}"


def is_id(prefix: Prefix, text: str) -> bool:
    """Return whether `text` has the form of an id with this prefix."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None


def id_of_number(prefix: Prefix, at: datetime, number: int) -> str:
    """Return the id for a time and a number; it is the same for the same arguments."""
    return f"{prefix}_{_text_of(max(_milliseconds(at), 0) << _RANDOM_BITS | number)}"


def number_of(some_id: str) -> int:
    """Return the number that `id_of_number` made an id of."""
    return _value_of(some_id) & _RANDOM


def floor_id(prefix: Prefix, at: datetime) -> str:
    """Return the smallest id with the time part `at`.

    It is the smallest of all for times before 1970.
    """
    return id_of_number(prefix, at, 0)


def time_of(some_id: str) -> datetime:
    """Return the time part of an id."""
    return _EPOCH + (_value_of(some_id) >> _RANDOM_BITS) * _MILLISECOND


def uuid_of(some_id: str) -> str:
    """Return the 128 bits of an id as a UUID, for APIs with UUIDs; `id_of_uuid` is the inverse."""
    return str(uuid.UUID(int=_value_of(some_id)))


def id_of_uuid(prefix: Prefix, text: str) -> str | None:
    """Return the id with this UUID (with hyphens, in either case); None if the text is not a UUID."""
    if not _UUID.fullmatch(text):
        return None
    return f"{prefix}_{_text_of(uuid.UUID(text).int)}"


def _text_of(value: int) -> str:
    """Return 128 bits as the 26 digits of a ULID; small numbers are shifted faster."""
    high, low = value >> _HALF_BITS, value & _HALF
    return "".join(
        [_PAIRS[high >> shift & 1023] for shift in _HIGH_SHIFTS]
        + [_PAIRS[low >> shift & 1023] for shift in _SHIFTS]
    )


def _value_of(some_id: str) -> int:
    return int(some_id.rpartition("_")[2].translate(_DIGITS), 32)


def _milliseconds(at: datetime) -> int:
    """Return whole milliseconds since 1970, in integer arithmetic because floats may round down."""
    return (at - _EPOCH) // _MILLISECOND
