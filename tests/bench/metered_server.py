"""`python -m tests.bench.metered_server REPORT serve …`: a server that writes down what holds its event loop.

It runs on asyncio's own loop instead of uvloop, whose callbacks cannot be measured. Each callback or step of a
task whose processor time (of the thread, so that a busy machine does not count) exceeds `LEAST_SECONDS` is a
line of the report: its milliseconds, and what it was. So is each collection of garbage, which holds up all threads.
Loops of other threads, such as that of the MCP tools, do not count.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from asyncio.events import Handle
from typing import Any, Final

import uvloop

from runwright.cli.main import main

LEAST_SECONDS: Final = 0.004

_run: Final = Handle._run  # noqa: SLF001  there is no other way to see each callback


def _describe(handle: Handle) -> str:
    callback = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return repr(callback)[:120]
    names: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(names) < 40:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        code = getattr(awaited, "cr_code", None)
        if code is not None:
            where = f"{code.co_filename.rpartition('runwright/')[2]}:{getattr(frame, 'f_lineno', 0)}"
            names.append(f"{code.co_qualname}({where})")
        awaited = getattr(awaited, "cr_await", None)
    return task.get_name() + ": " + (" > ".join(names if len(names) < 6 else [*names[:5], names[-1]]))


class _Collecting:
    """How long the main thread has collected garbage: a line of its own, and no part of the step around it."""

    seconds = 0.0


def _meter(report: int) -> None:
    def run(self: Handle) -> None:
        if threading.current_thread() is not threading.main_thread():
            _run(self)
            return
        before = time.thread_time() - _Collecting.seconds
        try:
            _run(self)
        finally:
            seconds = time.thread_time() - _Collecting.seconds - before
            if seconds >= LEAST_SECONDS:
                os.write(report, f"{seconds * 1000:.1f} {_describe(self)}\n".encode())

    Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001


def _meter_collections(report: int) -> None:
    began = 0.0

    def note(phase: str, details: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
            return
        seconds = time.thread_time() - began
        if threading.current_thread() is threading.main_thread():
            _Collecting.seconds += seconds
        if seconds >= LEAST_SECONDS:
            what = f"collection of generation {details['generation']}: {details['collected']} objects"
            os.write(report, f"{seconds * 1000:.1f} {what}\n".encode())

    gc.callbacks.append(note)


if __name__ == "__main__":
    report = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    _meter(report)
    _meter_collections(report)
    uvloop.run = asyncio.run  # type: ignore[assignment]
    sys.argv = ["runwright", *sys.argv[2:]]
    raise SystemExit(main())
