"""Between two jobs of a worker: what the first one leaves running continues while no job pays for it.

The first job leaves a thread. While the sandbox rests, the thread takes step after step and notes when. The
second job counts the steps that were taken before it began; in another sandbox it knows of none.
"""

import os
import struct
import threading
import time
from collections.abc import Callable

from escape_kit import StoppedError, Targets, attempt, library

HEADER = struct.Struct("<BBHIQ")
LOG = 18
FRAME_SOCKET = 3
BEGIN_SECONDS, PAUSE_SECONDS = 0.05, 0.01
LATE_SECONDS = 1.0
"""Steps in this time before the next job count: on a busy machine a sandbox is stopped late."""

MOST_PROCESSES = 20

_steps: list[float] = []


def _leave(step: Callable[[], object]) -> str:
    def work() -> None:
        time.sleep(BEGIN_SECONDS)
        while True:
            step()
            _steps.append(time.monotonic())
            time.sleep(PAUSE_SECONDS)

    threading.Thread(target=work, daemon=True).start()
    return "left"


def _count(what: str) -> str:
    began = time.monotonic()
    if not _steps:
        raise StoppedError("nothing is left of the job before")
    taken = sum(began - LATE_SECONDS < at < began - BEGIN_SECONDS for at in _steps)
    if not taken:
        raise StoppedError("stopped between the jobs")
    return f"{taken} {what} between two jobs"


def leave_a_thread(_targets: Targets) -> str:
    """Leave a thread that wakes up again and again."""
    return _leave(lambda: None)


@attempt(after="leave_a_thread", same_worker=True, rest_seconds=2.0)
def thread_that_stays(_targets: Targets) -> str:
    """Leave a thread that runs on between jobs."""
    return _count("steps of a thread")


def leave_a_busy_thread(_targets: Targets) -> str:
    """Leave a thread that uses a processor."""
    return _leave(lambda: sum(range(200_000)))


@attempt(after="leave_a_busy_thread", same_worker=True, rest_seconds=2.0)
def thread_that_spins(_targets: Targets) -> str:
    """Leave a thread that uses a processor between jobs."""
    return _count("rounds of computation")


def leave_a_sender(targets: Targets) -> str:
    """Leave a thread that sends log frames of its job."""
    frame = HEADER.pack(LOG, 0, 0, 1, targets["own_token"]) + b"x"
    return _leave(lambda: [os.write(FRAME_SOCKET, frame) for _ in range(100)])


@attempt(after="leave_a_sender", same_worker=True, rest_seconds=2.0)
def frames_between_jobs(_targets: Targets) -> str:
    """Send frames to the executor between jobs."""
    return _count("hundreds of frames")


def leave_a_writer(_targets: Targets) -> str:
    """Leave a thread that writes to stdout."""
    return _leave(lambda: os.write(1, b"x" * 4096))


@attempt(after="leave_a_writer", same_worker=True, rest_seconds=2.0)
def output_between_jobs(_targets: Targets) -> str:
    """Write to stdout between jobs."""
    return _count("pages of output")


def leave_a_forker(targets: Targets) -> str:
    """Leave a thread that starts daemons."""

    def fork() -> None:
        if len(_steps) < MOST_PROCESSES and not os.fork():
            library.prctl(15, targets["daemon"].encode(), 0, 0, 0)  # PR_SET_NAME
            time.sleep(30)
            os._exit(0)

    return _leave(fork)


@attempt(after="leave_a_forker", same_worker=True, rest_seconds=2.0, check="daemon")
def processes_between_jobs(_targets: Targets) -> str:
    """Start processes between jobs, which outlive both."""
    return _count("processes were started")
