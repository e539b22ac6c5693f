"""What a running job reports and asks for, for the harnesses written in Python; loaded at the first use.

One request is made at a time: a thread that asks waits until the answer to the one before has come.
"""

import json
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from runwright_text import encode_text
from runwright_wire import DEBUG, ERR, HEADER, INFO, LINE_CHARS, PROGRESS, REQUEST, WARN, JobSession

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE_BYTES = 60 * 1024
REQUEST_BYTES = 64 * 1024
FIELD_BYTES = 2 * 1024
FIELDS_BYTES = 8 * 1024
FIELDS = 32
NAME_CHARS = 100
DEPTH = 60
PROGRESS_BURST = 50
PROGRESS_PER_SECOND = 10
PROGRESS_CHARS = 200
LEVELS = {"debug": DEBUG, "info": INFO, "warn": WARN, "warning": WARN, "error": ERR}

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f]")
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


class JobCallError(Exception):
    """A call of the handler was refused; `code` says by which rule."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def to_json(value: Any) -> bytes:
    """Return a value as JSON in UTF-8; TypeError or ValueError if it is none."""
    return encode_text(_encode(value))


class JobChannel:
    """Sends what the running job reports, and makes its calls."""

    def __init__(self, session: JobSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._assignment_id: int | None = None
        self._context: dict[str, Any] = {}
        self._number = 0
        self._tokens = 0.0
        self._refilled = 0.0
        self._delayed = b""
        self.cleanups: list[Callable[[], None]] = []
        """Called when the job is over."""
        session.on_end = self._end
        os.register_at_fork(after_in_child=self._fork)

    def context(self) -> dict[str, Any]:
        """Return what the handler may know of its job; RuntimeError where none is running."""
        with self._lock:
            self._enter()
            return self._context

    @property
    def began(self) -> float:
        """When the job began, in seconds since 1970."""
        return self._session.began

    def record(self, level: int, message: str, fields: dict[str, Any]) -> None:
        """Write a log line with fields."""
        text = _CONTROLS.sub("\ufffd", message[: LINE_CHARS + 1])
        payload = b"[" + to_json(text) + b"," + fields_json(fields) + b"]"
        self._session.log.write_record(level, f"{message} {plain_text(fields)}".rstrip(), payload)

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Report how far the job is; what comes too often is kept back, and the last report is sent."""
        if fraction is not None:
            fraction = min(1.0, max(0.0, float(fraction)))
            if fraction != fraction:  # noqa: PLR0124  not a number
                raise ValueError("The fraction of a progress is a number from 0 to 1")
        text = None if message is None else _CONTROLS.sub(" ", str(message))[:PROGRESS_CHARS]
        payload = to_json([fraction, text])
        with self._lock:
            frame = HEADER.pack(PROGRESS, 0, 0, len(payload), self._enter()) + payload
            now = time.monotonic()
            refill = (now - self._refilled) * PROGRESS_PER_SECOND
            self._tokens, self._refilled = min(PROGRESS_BURST, self._tokens + refill), now
            if self._tokens < 1:
                self._delayed = frame
                return
            self._tokens, self._delayed = self._tokens - 1, b""
            self._session.wire.send(frame)

    def ask(self, op: str, **arguments: Any) -> Any:
        """Make a request and return its answer; JobCallError if it is refused."""
        body = to_json({"op": op, **arguments})
        if len(body) + 4 > REQUEST_BYTES:
            raise JobCallError(
                "invalid", f"The call has {len(body)} bytes of JSON; its value may have {VALUE_BYTES}."
            )
        with self._lock:
            assignment_id = self._enter()
            self._number = (self._number + 1) % 2**32
            number = self._number.to_bytes(4, "little")
            payload = number + body
            self._session.wire.send(HEADER.pack(REQUEST, 0, 0, len(payload), assignment_id) + payload)
            answer = b""
            while answer[:4] != number:
                answer = self._session.wire.answer(assignment_id)
        result = json.loads(answer[4:])
        if "error" in result:
            raise JobCallError(result["error"]["code"], result["error"]["message"])
        return result["value"]

    def _enter(self) -> int:
        """Return the id of the running job; RuntimeError where this process may not speak for it."""
        assignment_id = self._session.assignment_id
        if assignment_id is None:
            raise RuntimeError("No job is running")
        if self._session.log.forked:
            raise RuntimeError(
                "Only the process of the handler can use its job, and not one that it has forked"
            )
        if assignment_id != self._assignment_id:
            self._assignment_id = assignment_id
            self._context = json.loads(self._session.context)
            self._tokens, self._refilled, self._delayed = PROGRESS_BURST, time.monotonic(), b""
        return assignment_id

    def _end(self) -> bytes:
        with self._lock:
            self._session.assignment_id = None
            frame, self._delayed = self._delayed, b""
        while self.cleanups:
            self.cleanups.pop()()
        return frame

    def _fork(self) -> None:
        self._lock = threading.Lock()


def fields_json(fields: dict[str, Any]) -> bytes:
    """Return the fields of a log line as JSON, without those that are too many."""
    parts: list[bytes] = []
    size = 0
    for name, value in fields.items():
        part = to_json(field_name(name)) + b":" + field_json(value)
        if len(parts) >= FIELDS or size + len(part) > FIELDS_BYTES:
            parts.append(b'"dropped_fields":%d' % (len(fields) - len(parts)))
            break
        parts.append(part)
        size += len(part) + 1
    return b"{" + b",".join(parts) + b"}"


def field_name(name: Any) -> str:
    """Return the name of a field; of one that is too long a note, as it may begin like a secret."""
    text = _CONTROLS.sub(" ", str(name))
    return text if len(text) <= NAME_CHARS else f"({len(text)} characters)"


def field_json(value: Any) -> bytes:
    """Return a field's value as JSON; of what is none its text, and of what is too large a note."""
    try:
        text = to_json(value)
    except (TypeError, ValueError, RecursionError):
        try:
            text = to_json(_CONTROLS.sub(" ", str(value)))
        except Exception:  # noqa: BLE001  __str__ is user code
            return b'"(unprintable)"'
    if len(text) > FIELD_BYTES:
        return b'"(%d bytes)"' % len(text)
    return text if text.count(b"[") + text.count(b"{") <= DEPTH else b'"(nested deeply)"'


def plain_text(fields: dict[str, Any]) -> str:
    """Return fields as text, for the log of a process that a handler has forked."""
    return " ".join(f"{name}={value}" for name, value in fields.items())
