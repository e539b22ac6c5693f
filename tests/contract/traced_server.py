"""Runs `runwright serve` and notes which of our files handle a job from a SIGUSR1 on.

A file handles it where one of its functions takes, makes or returns one of the job's shapes, or the request
that brings it. A shape is what names the job: an object of a class of ours whose `id` or `job_id` is a job's.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import runwright
from runwright.cli.main import main

ROOT = Path(runwright.__file__).parent
NAMELESS = {"JobIn", "Accepted", "AttemptOutcome", "RunningJob", "Request", "Reply"}
"""What travels with the job without naming it."""

MOST_ITEMS = 50


class Trace:
    """What was seen of a job."""

    def __init__(self) -> None:
        self.on = False
        self.files: set[str] = set()
        self.shapes: set[str] = set()

    def begin(self, _signal: int, _frame: FrameType | None) -> None:
        self.on = True

    def write(self, out: Path) -> None:
        out.write_text(json.dumps({"files": sorted(self.files), "shapes": sorted(self.shapes)}))

    def __call__(self, frame: FrameType, event: str, value: object) -> None:
        code = frame.f_code
        if not self.on or event not in {"call", "return"} or not code.co_filename.startswith(str(ROOT)):
            return
        count = code.co_argcount + code.co_kwonlyargcount
        arguments = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
        shapes = set(_shapes(value if event == "return" else arguments, depth=3))
        if shapes:
            self.files.add(str(Path(code.co_filename).relative_to(ROOT)))
            self.shapes |= shapes


def _shapes(value: object, depth: int) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        return [name for one in list(value)[:MOST_ITEMS] for name in _shapes(one, depth - 1) if depth > 0]
    kind = type(value)
    if not kind.__module__.startswith("runwright."):
        return []
    named = any(str(getattr(value, field, "")).startswith("job_") for field in ("id", "job_id"))
    return [kind.__name__] if named or kind.__name__ in NAMELESS else []


if __name__ == "__main__":
    trace = Trace()
    signal.signal(signal.SIGUSR1, trace.begin)
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        main()
    finally:
        sys.setprofile(None)
        trace.write(Path(os.environ["TRACE_OUT"]))
