"""What frames cost a page's main thread, from a trace of Chromium.

The page's own part of a frame is its scripts, styles and layout; recording what to paint and handing it over is the
browser's part on the same thread. Both are processor time of the thread, so other processes make neither longer. The
rasterizer runs in other threads; without a graphics card it is what keeps frames from being drawn in time.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

CATEGORIES: Final = ["disabled-by-default-devtools.timeline", "devtools.timeline", "v8", "toplevel", "cc"]
_TASK: Final = "RunTask"
_FRAME: Final = "FireAnimationFrame"
_OWN: Final = frozenset(
    {
        "EventDispatch",
        "EvaluateScript",
        "FireAnimationFrame",
        "FunctionCall",
        "Layout",
        "MajorGC",
        "MinorGC",
        "RunMicrotasks",
        "TimerFire",
        "UpdateLayoutTree",
    }
)
_RASTER: Final = "RasterTask"


class Event(msgspec.Struct, frozen=True):
    """A complete event of a trace; times in microseconds, `tts` and `tdur` of its thread's processor."""

    name: str = ""
    ph: str = ""
    pid: int = 0
    tid: int = 0
    ts: float = 0
    dur: float = 0
    tdur: float = 0


class FrameCosts(msgspec.Struct, frozen=True):
    """Seconds of each frame."""

    own: list[float]
    """Scripts, styles and layout."""
    whole: list[float]
    """Everything on the main thread."""
    raster: float
    """Of all rasterizers, for a frame on average."""


class _Trace(msgspec.Struct, frozen=True):
    traceEvents: list[Event]  # noqa: N815  as the browser writes it


def frame_costs(trace: bytes) -> FrameCosts:
    """Return the costs of the frames between the first and the last that called the page."""
    events = [
        event
        for event in msgspec.json.decode(trace, type=_Trace, strict=False).traceEvents
        if event.ph == "X"
    ]
    called = [event for event in events if event.name == _FRAME]
    counts: dict[tuple[int, int], int] = {}
    for event in called:
        counts[event.pid, event.tid] = counts.get((event.pid, event.tid), 0) + 1
    thread = max(counts, key=lambda one: counts[one])
    mine = sorted((one for one in events if (one.pid, one.tid) == thread), key=lambda one: (one.ts, -one.dur))
    frames = list(_frames(mine))
    raster = sum(event.tdur for event in events if event.name == _RASTER)
    return FrameCosts(
        own=[sum(_outermost(frame, _OWN)) / 1e6 for frame in frames],
        whole=[sum(_outermost(frame, frozenset({_TASK}))) / 1e6 for frame in frames],
        raster=raster / 1e6 / max(len(frames), 1),
    )


def _frames(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Cut the events of a thread where tasks begin that call the page for a frame."""
    tasks = [event for event in events if event.name == _TASK]
    calls = [event.ts for event in events if event.name == _FRAME]
    starts, at = [], 0
    for task in tasks:
        while at < len(calls) and calls[at] < task.ts:
            at += 1
        if at < len(calls) and calls[at] < task.ts + task.dur:
            starts.append(task.ts)
    at = 0
    for start, end in pairwise(starts):
        while events[at].ts < start:
            at += 1
        first = at
        while events[at].ts < end:
            at += 1
        yield list(events[first:at])


def _outermost(events: Sequence[Event], names: frozenset[str]) -> Iterator[float]:
    """Yield the processor time of each event of these names that is inside no other."""
    until = 0.0
    for event in events:
        if event.name in names and event.ts >= until:
            until = event.ts + event.dur
            yield event.tdur
