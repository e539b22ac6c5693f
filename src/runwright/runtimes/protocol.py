"""The frames that an executor and a sandbox exchange.

Transport: one `SOCK_SEQPACKET` socket pair per sandbox, so that a send is one message and a message is
received whole or not at all. The executor keeps **both** ends: it can take back, atomically and without
the sandbox's help, what the sandbox has not received yet (`Sandbox.recall`). This proves that a
pipelined job never began.

A message holds one or more frames; a frame is a header (kind, flags, microseconds, length, assignment id)
and its payload. From executor to sandbox there is one frame per message; content above `CHUNK_BYTES`
is sent ahead of its frame as `PART` frames.

```
executor                              sandbox
   |  <------------------------ READY     booted, user code not seen yet
   |  LOAD (code) ------------------->    kept, not run
   |  RUN id (env, input) ----------->
   |  <--------------------- BEGAN id     before any user code runs (also before loading)
   |  <------------------ COMPILED id     once, if LOAD came with an empty file for the compiled module
   |  <------------- LOG or RECORD id     any number; a RECORD is a log line with fields
   |  <---------------------- TEXT id     any number, in a rate that is bounded: text of an unfinished line
   |  <------------------ PROGRESS id     any number, in a rate that is bounded
   |  <------------------- REQUEST id     what the job asks for (`handler_calls.py`), one at a time
   |  ANSWER id --------------------->    to that request
   |  <------------- RESULT or ERROR id   the end of that job
```

While a sandbox waits for an answer it discards all other messages: the jobs in them have not begun, and the
executor gives them to other sandboxes before it answers.

Invariants: BEGAN names the oldest job in flight; all other frames name the job that began; sizes
are within the limits below; text is UTF-8; output is JSON; a request follows the answer to the one before;
between jobs nothing is sent, but a few late lines of the log. A message that breaks one of these is a
protocol violation: the sandbox is killed, the running job fails and the jobs behind it are handed back
unstarted. Frames are checked to be well-formed, not trusted to be true: user code can only lie about its own
job.
"""

import struct
from enum import IntEnum
from typing import Final

import msgspec

from runwright.runtimes.model import APP, CODE, WorkerCode

CHUNK_BYTES: Final = 64 * 1024
"""Largest content of one message; below half of the kernel's default socket buffer."""

MESSAGE_BYTES: Final = 256 * 1024
"""Size of the receive buffer, above what the kernel lets through."""

FRAME_BYTES: Final = 80 * 1024
"""Largest payload of a frame from a sandbox: a log line of `LINE_BYTES` characters is below."""

LATE_FRAMES: Final = 16
"""How many log frames of a job that has ended are ignored: its threads may have been about to send them."""

OUTPUT_BYTES: Final = 1024 * 1024
ERROR_MESSAGE_BYTES: Final = 4 * 1024
ERROR_STACK_BYTES: Final = 32 * 1024
LINE_BYTES: Final = 16 * 1024
LOG_LINES: Final = 10_000
LOG_BYTES: Final = 4 * 1024 * 1024
LEVELS: Final = ("info", "warn", "error", "debug")
"""Names of the levels of LOG and RECORD frames."""

HEADER: Final = struct.Struct("<BBHIQ")
"""kind, flags, microseconds that the handler took (in RESULT and ERROR, at most 65535), length, id."""

_LENGTHS: Final = struct.Struct("<II")
REQUEST_BYTES: Final = 64 * 1024
"""Largest payload of a REQUEST."""
FIELDS_BYTES: Final = 16 * 1024
"""Largest JSON of the fields of a RECORD."""

RAW_PENDING: Final = 1
"""Flag of RESULT and ERROR: the sandbox's stdout or stderr pipe may hold bytes of this job."""

WORN: Final = 2
"""Flag of RESULT and ERROR: the sandbox must not be reused."""


class FrameKind(IntEnum):
    """What a frame carries."""

    LOAD = 1
    RUN = 2
    PART = 3
    ANSWER = 4
    READY = 16
    BEGAN = 17
    LOG = 18
    DROPPED = 19
    RESULT = 20
    ERROR = 21
    COMPILED = 22
    RECORD = 23
    PROGRESS = 24
    REQUEST = 25
    TEXT = 26


class LogLevel(IntEnum):
    """Levels of a LOG or RECORD frame, in its flags."""

    INFO = 0
    WARN = 1
    ERROR = 2
    DEBUG = 3


def frame(kind: FrameKind, payload: bytes, assignment_id: int = 0, flags: int = 0) -> bytes:
    """Return one frame."""
    return HEADER.pack(kind, flags, 0, len(payload), assignment_id) + payload


def messages(kind: FrameKind, payload: bytes, assignment_id: int = 0) -> list[bytes]:
    """Return the messages that carry one frame, with large content in parts ahead of it."""
    if len(payload) <= CHUNK_BYTES:
        return [frame(kind, payload, assignment_id)]
    cut = len(payload) - len(payload) % CHUNK_BYTES
    parts = [
        frame(FrameKind.PART, payload[i : i + CHUNK_BYTES], assignment_id) for i in range(0, cut, CHUNK_BYTES)
    ]
    return [*parts, frame(kind, payload[cut:], assignment_id)]


def load_payload(code: WorkerCode, *, mounted: bool, compiled: bool = False) -> bytes:
    """Return the payload of a LOAD frame: where the code is inside the sandbox, or the code itself.

    `compiled`: a compiled module comes with the message.
    """
    fields = {
        "entrypoint": code.entrypoint,
        "network": code.network,
        "memory_mb": code.memory_mb,
        "compiled": compiled,
    }
    if code.only_load:
        fields["only_load"] = True
    if code.bundle is not None:
        fields["folder"] = CODE if mounted else code.bundle
    if code.layer is not None:
        fields["layer"] = APP if mounted else code.layer
    header = msgspec.json.encode(fields)
    return len(header).to_bytes(4, "little") + header + code.source


def run_payload(env: bytes, job_input: bytes, job: bytes = b"{}") -> bytes:
    """Return the payload of a RUN frame: the lengths of two JSON texts, these texts, the input.

    The texts are the environment and `job`, what the handler may know of its job.
    """
    return _LENGTHS.pack(len(env), len(job)) + env + job + job_input


def answer_frame(assignment_id: int, number: int, content: bytes) -> bytes:
    """Return the answer to the request with that number: JSON with `value` or `error`."""
    return frame(FrameKind.ANSWER, number.to_bytes(4, "little") + content, assignment_id)
