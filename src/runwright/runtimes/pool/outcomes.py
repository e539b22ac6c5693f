"""What the end of a run means: the checks on what a sandbox answered, and how it died."""

import signal
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.runtimes import protocol
from runwright.runtimes.model import AttemptOutcome
from runwright.runtimes.pool.running_job import RunningJob

_SIGNAL_STATUS: Final = 128


class KillReason(msgspec.Struct, frozen=True):
    """Why a tree is killed, as the running job will hear it."""

    code: ErrorCode
    message: str


class ErrorReport(msgspec.Struct, frozen=True):
    """The payload of an ERROR frame."""

    code: ErrorCode
    message: str
    stack: str | None = None


_decode_failure: Final = msgspec.json.Decoder(ErrorReport).decode
_decode_json: Final = msgspec.json.Decoder().decode
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_REPORTABLE: Final = frozenset(
    {ErrorCode.HANDLER_ERROR, ErrorCode.LOAD_ERROR, ErrorCode.OUT_OF_MEMORY, ErrorCode.OUTPUT_TOO_LARGE}
)


def accept_output(run: RunningJob, payload: bytes, at: datetime) -> AttemptOutcome:
    """Return the outcome of a RESULT: completed, if its output is JSON and not too large."""
    if payload == b"null":
        return run.completed(at, payload)
    if len(payload) > protocol.OUTPUT_BYTES:
        text = f"The handler returned {len(payload)} bytes of JSON; the limit is {protocol.OUTPUT_BYTES}"
        return run.failed(at, ErrorCode.OUTPUT_TOO_LARGE, text)
    try:
        _decode_json(payload)
    except _UNREADABLE:
        return run.failed(at, ErrorCode.HANDLER_ERROR, "The handler's output is not valid JSON")
    return run.completed(at, payload)


def read_failure(payload: bytes) -> ErrorReport | str:
    """Return the failure that an ERROR frame reports, as long as it is; or what is wrong with it."""
    try:
        failure = _decode_failure(payload)
    except _UNREADABLE:
        return "an error that cannot be read"
    if failure.code not in _REPORTABLE:
        return "an error code that is not its to give"
    return failure


def describe_status(status: int | None) -> str:
    """Say how a process ended, for the person whose code it ran."""
    if status is None:
        return "The worker's process ended before it answered"
    number = -status if status < 0 else status - _SIGNAL_STATUS if status > _SIGNAL_STATUS else 0
    if not number:
        return f"The worker's process exited with status {status} before it answered"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"The worker's process was ended by {name} before it answered"
