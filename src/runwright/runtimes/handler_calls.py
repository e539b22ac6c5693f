"""What a running job reports and asks for over its harness's socket: progress, state, events, jobs.

A REQUEST frame is four bytes with a number, chosen by the harness, and one of the calls below as JSON. A call
of another shape breaks the protocol, as no harness sends it. A call that is well-formed but may not be made
(a key that is too long, a worker that does not exist) is answered with an error, which the handler gets as an
exception.
"""

import math
import re
from collections.abc import Callable
from typing import Final

import msgspec

from runwright.core.json_depth import DEPTH_LIMIT, nests_too_deeply
from runwright.core.json_text import is_json
from runwright.runtimes.model import Assignment
from runwright.runtimes.protocol import FIELDS_BYTES, REQUEST_BYTES

VALUE_BYTES: Final = 60 * 1024
"""Largest JSON of a value of the state, the payload of an event, the input of a job."""
KEY_CHARS: Final = 128
NAME_CHARS: Final = 200
MESSAGE_CHARS: Final = 200
CUSTOM_FAMILY: Final = "custom."
"""What the types of events begin with that a handler may emit."""
PROGRESS_BURST: Final = 1000
PROGRESS_PER_SECOND: Final = 40
"""Bounds of PROGRESS frames, some times above those that the harnesses keep."""

ANYTHING: Final = msgspec.Raw(b"")
"""The `expect` of a write that does not depend on the value before."""

KEY_PATTERN: Final = "^[A-Za-z0-9._:@-]{1,128}$"
_KEY: Final = re.compile(KEY_PATTERN.rstrip("$") + r"\Z")
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_NUMBER_BYTES: Final = 4


class ReportedProgress(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How far a job is: a fraction from 0 to 1, what it does, or both."""

    fraction: float | None
    message: str | None


class GetState(msgspec.Struct, frozen=True, tag_field="op", tag="get", forbid_unknown_fields=True):
    """Read a value of the worker's state; null where there is none."""

    key: str


class SetState(msgspec.Struct, frozen=True, tag_field="op", tag="set", forbid_unknown_fields=True):
    """Write a value of the worker's state; null deletes it. With `expect`, only if that is the value now."""

    key: str
    value: msgspec.Raw
    expect: msgspec.Raw = ANYTHING


class EmitEvent(msgspec.Struct, frozen=True, tag_field="op", tag="emit", forbid_unknown_fields=True):
    """Publish an event of the tenant; with `key`, once per job."""

    type: str
    payload: msgspec.Raw
    key: str | None = None


class StartJob(msgspec.Struct, frozen=True, tag_field="op", tag="start", forbid_unknown_fields=True):
    """Submit a job of another worker; with `key`, once per job."""

    worker: str
    input: msgspec.Raw
    key: str | None = None


HandlerCall = GetState | SetState | EmitEvent | StartJob
Reply = Callable[[bytes], None]
"""Takes the answer to a call: `answer` or `refusal`."""
OnCall = Callable[[Assignment, HandlerCall, Reply], None]
OnProgress = Callable[[Assignment, ReportedProgress], None]

_decode_call: Final = msgspec.json.Decoder(HandlerCall).decode
_decode_progress: Final = msgspec.json.Decoder(ReportedProgress).decode


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The content of a RECORD frame."""

    message: str
    fields: msgspec.Raw


_decode_record: Final = msgspec.json.Decoder(_Record).decode


def refuse_calls(_assignment: Assignment, _call: HandlerCall, reply: Reply) -> None:
    """Answer every call with an error, where there is no database."""
    reply(refusal("unavailable", "State, events and jobs are not available here."))


def ignore_progress(_assignment: Assignment, _progress: ReportedProgress) -> None:
    """Do nothing with progress."""


class CallReceiver(msgspec.Struct, frozen=True):
    """Who takes the calls and the progress of jobs; by default calls are refused."""

    on_call: OnCall = refuse_calls
    on_progress: OnProgress = ignore_progress


NO_CALLS: Final = CallReceiver()


def answer(value: bytes) -> bytes:
    """Return the answer to a call that succeeded; `value` is JSON."""
    return b'{"value":' + value + b"}"


def refusal(code: str, message: str) -> bytes:
    """Return the answer to a call that failed."""
    return msgspec.json.encode({"error": {"code": code, "message": message}})


def read_request(payload: bytes) -> tuple[int, HandlerCall] | str:
    """Return the number of a request and its call, or how the frame breaks the protocol."""
    if not _NUMBER_BYTES < len(payload) <= REQUEST_BYTES:
        return "a request of that size"
    try:
        call = _decode_call(payload[_NUMBER_BYTES:])
    except _UNREADABLE:
        return "a request that cannot be read"
    if not all(map(is_json, _values_of(call))):
        return "a request with a value that is not JSON"
    return int.from_bytes(payload[:_NUMBER_BYTES], "little"), call


def _values_of(call: HandlerCall) -> list[bytes]:
    values = (bytes(one) for one in msgspec.structs.astuple(call) if isinstance(one, msgspec.Raw))
    return [value for value in values if value]


def texts_of(call: HandlerCall) -> list[bytes]:
    """Return all texts of a call in which a secret may be."""
    values = msgspec.structs.astuple(call)
    return [*_values_of(call), *(one.encode("utf-8", "replace") for one in values if isinstance(one, str))]


def read_progress(content: bytes) -> ReportedProgress | str:
    """Return the progress that a frame reports, or how it breaks the protocol."""
    try:
        progress = _decode_progress(content)
    except _UNREADABLE:
        return "progress that cannot be read"
    fraction, message = progress.fraction, progress.message or ""
    if fraction is not None and not (math.isfinite(fraction) and 0 <= fraction <= 1):
        return "progress outside of 0 to 1"
    return "progress with a long message" if len(message) > MESSAGE_CHARS else progress


def read_record(content: bytes) -> tuple[bytes, bytes] | str:
    """Return the message of a log record and the JSON of its fields, or how it breaks the protocol."""
    try:
        record = _decode_record(content)
    except _UNREADABLE:
        return "a log record that cannot be read"
    fields = bytes(record.fields)
    shape = fields.startswith(b"{") and is_json(fields) and not nests_too_deeply(fields)
    if len(fields) > FIELDS_BYTES or not shape:
        return "a log record with fields that cannot be stored"
    return record.message.encode("utf-8", "replace"), fields


def problem_of(call: HandlerCall) -> str | None:
    """Return why a call may not be made; None if it may."""
    return _problem_of_values(call) or _problem_of_names(call)


def _problem_of_values(call: HandlerCall) -> str | None:
    for value in _values_of(call):
        if len(value) > VALUE_BYTES:
            return f"The value has {len(value)} bytes of JSON; the limit is {VALUE_BYTES}."
        if nests_too_deeply(value):
            return f"The value is nested more than {DEPTH_LIMIT} levels deep."
    if isinstance(call, EmitEvent) and not _is_object(call.payload):
        return "The payload of an event must be an object."
    if isinstance(call, StartJob) and not _is_object(call.input):
        return "The input of a job must be an object."
    return None


def _problem_of_names(call: HandlerCall) -> str | None:
    key = call.key
    if key is not None and not is_key(key):
        return f"A key has 1 to {KEY_CHARS} characters: letters, digits and . _ : @ -"
    if isinstance(call, EmitEvent) and not call.type.startswith(CUSTOM_FAMILY):
        return f"A handler can only emit events whose type begins with {CUSTOM_FAMILY}"
    if isinstance(call, StartJob) and (not 0 < len(call.worker) <= NAME_CHARS or "\0" in call.worker):
        return f"A worker's name has 1 to {NAME_CHARS} characters."
    return None


def is_key(text: str) -> bool:
    """Return whether a text is a key: of a value of the state, or of a call that is made once per job."""
    return _KEY.match(text) is not None


def _is_object(value: msgspec.Raw) -> bool:
    return bytes(value).lstrip().startswith(b"{")


def stored_json(text: bytes) -> bytes:
    """Return JSON text without escaped NULs, which the database does not store in text."""
    return text.replace(b"\\u0000", b"\\ufffd") if b"\\u0000" in text else text
