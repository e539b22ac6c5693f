"""A sandbox's raw stdout and stderr: what subprocesses and C code write past the harness."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from runwright.core.clock import Clock
from runwright.runtimes import protocol
from runwright.runtimes.pool.running_job import LEVELS, RunningJob
from runwright.secrets.masking import Truncation

READ_BYTES: Final = 64 * 1024
DRAIN_READS: Final = 64
_PAUSE_SECONDS: Final = 0.02
_BOOT_CHARS: Final = 2000
_LAST_BYTES: Final = 4096


class Stdio:
    """The two pipes; what comes out belongs to the run that is `current`."""

    __slots__ = (
        "_catch_up",
        "_clock",
        "_fds",
        "_loop",
        "_partial",
        "boot_text",
        "booting",
        "current",
        "last_words",
        "used",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, *, catch_up: Callable[[], bool]
    ) -> None:
        """`catch_up` reads the frames that have arrived, so that `current` is who wrote what is there.

        It tells whether a run is about to begin: then what is there is better read after that.
        """
        self._loop = loop
        self._catch_up = catch_up
        self._clock = clock
        self._fds = [-1, -1]
        self._partial = [b"", b""]
        self.current: RunningJob | None = None
        self.booting = True
        self.boot_text = ""
        self.used = False
        self.last_words = b""
        """The end of what was written to stderr."""

    def open(self) -> tuple[int, int]:
        """Open both and return the ends to write to, which the caller closes."""
        writers = []
        for stream in (0, 1):
            self._fds[stream], writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._fds[stream], False)
            self._loop.add_reader(self._fds[stream], self._readable, stream)
            writers.append(writer)
        return writers[0], writers[1]

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun that no newline has ended."""
        return bool(self._partial[0] or self._partial[1])

    def drain(self, run: RunningJob, truncation: Truncation = Truncation.MID_LINE) -> None:
        """Read what a run that has ended wrote, but not for ever."""
        for stream in (0, 1):
            reads = DRAIN_READS
            while reads and self._read(stream, run):
                reads -= 1
        self.end_lines(run, truncation)

    def end_lines(self, run: RunningJob, truncation: Truncation = Truncation.MID_LINE) -> None:
        """End the lines that a run has begun and not ended; what is in the pipes may be the next one's."""
        at = self._clock()
        for stream in (0, 1):
            if self._partial[stream]:
                run.write(at, LEVELS[2 * stream], self._partial[stream], truncation)
                self._partial[stream] = b""

    def close(self) -> None:
        """Close both."""
        for stream in (0, 1):
            self._close(stream)

    def _readable(self, stream: int) -> None:
        if not self.booting and self._catch_up():
            return
        run = self.current
        if self._read(stream, run) and run is not None and run.full():
            self._loop.remove_reader(self._fds[stream])
            self._loop.call_later(_PAUSE_SECONDS, self._resume, stream, self._fds[stream])

    def _resume(self, stream: int, fd: int) -> None:
        if self._fds[stream] == fd:
            self._loop.add_reader(fd, self._readable, stream)

    def _read(self, stream: int, run: RunningJob | None) -> bool:
        """Read once; False when nothing is there."""
        fd = self._fds[stream]
        if fd < 0:
            return False
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close(stream)
        elif self.booting:
            self.boot_text = (self.boot_text + data.decode("utf-8", "replace"))[-_BOOT_CHARS:]
        elif run is not None:
            self.used = True
            self._write(stream, run, data)
        return bool(data)

    def _write(self, stream: int, run: RunningJob, data: bytes) -> None:
        if stream:
            self.last_words = (self.last_words + data)[-_LAST_BYTES:]
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            run.write(self._clock(), LEVELS[2 * stream], self._partial[stream] + head)
            self._partial[stream] = b""
        if len(self._partial[stream]) <= protocol.LINE_BYTES:
            self._partial[stream] += tail[: protocol.LINE_BYTES + 1]

    def _close(self, stream: int) -> None:
        if self._fds[stream] >= 0:
            self._loop.remove_reader(self._fds[stream])
            os.close(self._fds[stream])
            self._fds[stream] = -1
