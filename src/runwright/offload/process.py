"""The separate process: reads calls of `functions` from its input and writes their results to its output.

It ends with its input.

A message is its length in four bytes and a MessagePack array; a call has the name of a function and its
argument, a result whether it succeeded and the bytes. The program has a limit on its memory, and the lowest
share of the processor that is still served beside the event loop. A call that takes longer than its function
may is ended by a signal of the kernel, with the process.
"""

import contextlib
import os
import resource
import signal
import sys
from typing import BinaryIO, Final

import msgspec

from runwright.offload.functions import FUNCTIONS, MOST_PROCESSOR_SECONDS, PROCESSOR_SECONDS

MEMORY_BYTES: Final = 1 << 30
NICE: Final = 10
LENGTH_BYTES: Final = 4
TOO_LONG: Final = signal.SIGPROF
"""The signal that ends a call which takes too long: no code in C can keep it waiting."""


def main(calls: BinaryIO, results: BinaryIO) -> None:
    """Compute until there are no more calls."""
    while length := calls.read(LENGTH_BYTES):
        results.write(_framed(_compute(calls.read(int.from_bytes(length, "big")))))
        results.flush()


def _compute(message: bytes) -> tuple[bool, bytes]:
    name, argument = msgspec.msgpack.decode(message, type=tuple[str, bytes])
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS.get(name, MOST_PROCESSOR_SECONDS))
    try:
        return True, FUNCTIONS[name](argument)
    except (Exception, MemoryError, RecursionError) as error:  # noqa: BLE001  reported to the caller
        return False, type(error).__name__.encode()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _framed(result: tuple[bool, bytes]) -> bytes:
    message = msgspec.msgpack.encode(result)
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


if __name__ == "__main__":
    os.nice(NICE)
    with contextlib.suppress(ValueError, OSError):  # the limit of this process may be lower
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    main(sys.stdin.buffer, sys.stdout.buffer)
