"""The frames that an executor and a sandbox exchange.

Transport: one `SOCK_SEQPACKET` socket pair per sandbox, so that a send is one message and
a message is taken whole or not at all. The executor keeps **both** ends: what the sandbox
has not taken yet can be taken back (`Sandbox.recall`), atomically and without its help.
That is the proof that a pipelined job never began.

A message holds one or more frames; a frame is a header (kind, flags, microseconds, length, token) and
its payload. Executor to sandbox there is one frame per message; content above
`CHUNK_BYTES` travels ahead of its frame as `PART` frames.

```
executor                              sandbox
   |  <------------------------ READY     booted, user code not seen yet
   |  LOAD (code) ------------------->    kept, not run
   |  RUN token (env, input) -------->
   |  <------------------ BEGAN token     before any user code runs (also before loading)
   |  <--------------- COMPILED token     once, where room for a compiled module came with LOAD
   |  <-------------------- LOG token     any number
   |  <----- RESULT / ERROR / … token     the end of that job
```

Invariants, and what happens otherwise: BEGAN names the oldest job in flight; LOG and the
ends name the job that began; sizes are within the limits below; text is UTF-8; output is
JSON. A message that breaks one is a violation: the sandbox is killed, the running job
fails and the jobs behind it go back unstarted. Nothing here is trusted to be true, it is
only checked to be well-formed: what user code claims about itself harms only itself.
"""

import struct
from enum import IntEnum
from typing import Final

import msgspec

from runwright.runtimes.model import APP, CODE, WorkerCode

CHUNK_BYTES: Final = 64 * 1024
"""Largest content of one message; below half of the kernel's default socket buffer."""

MESSAGE_BYTES: Final = 256 * 1024
"""Size of the receive buffer; the kernel lets nothing larger through."""

OUTPUT_BYTES: Final = 1024 * 1024
ERROR_MESSAGE_BYTES: Final = 4 * 1024
ERROR_STACK_BYTES: Final = 32 * 1024
LINE_BYTES: Final = 16 * 1024
LOG_LINES: Final = 10_000
LOG_BYTES: Final = 4 * 1024 * 1024

HEADER: Final = struct.Struct("<BBHIQ")
"""kind, flags, microseconds (of an end: what the handler took, at most 65535), length, token."""

RAW_PENDING: Final = 1
"""Flag of an end: the sandbox's stdout or stderr pipe may hold bytes of this job."""

WORN: Final = 2
"""Flag of an end: the sandbox asks to be thrown away."""


class FrameKind(IntEnum):
    """What a frame says."""

    LOAD = 1
    RUN = 2
    PART = 3
    READY = 16
    BEGAN = 17
    LOG = 18
    DROPPED = 19
    RESULT = 20
    ERROR = 21
    COMPILED = 22


class LogLevel(IntEnum):
    """Levels of a LOG frame, in its flags."""

    INFO = 0
    WARN = 1
    ERROR = 2


def frame(kind: FrameKind, payload: bytes, token: int = 0, flags: int = 0) -> bytes:
    """Return one frame."""
    return HEADER.pack(kind, flags, 0, len(payload), token) + payload


def messages(kind: FrameKind, payload: bytes, token: int = 0) -> list[bytes]:
    """Return the messages that carry one frame, large content in parts ahead of it."""
    if len(payload) <= CHUNK_BYTES:
        return [frame(kind, payload, token)]
    cut = len(payload) - len(payload) % CHUNK_BYTES
    parts = [frame(FrameKind.PART, payload[i : i + CHUNK_BYTES], token) for i in range(0, cut, CHUNK_BYTES)]
    return [*parts, frame(kind, payload[cut:], token)]


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
    if code.bundle is not None:
        fields["folder"] = CODE if mounted else code.bundle
    if code.layer is not None:
        fields["layer"] = APP if mounted else code.layer
    header = msgspec.json.encode(fields)
    return len(header).to_bytes(4, "little") + header + code.source


def run_payload(env: bytes, job_input: bytes) -> bytes:
    """Return the payload of a RUN frame: length of the environment's JSON, then both."""
    return len(env).to_bytes(4, "little") + env + job_input
