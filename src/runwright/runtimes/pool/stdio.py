"""Raw stdout and stderr of a sandbox: what is written past the harness."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from runwright.core.clock import Clock
from runwright.runtimes import protocol
from runwright.runtimes.pool.running_job import RunningJob

READ_BYTES: Final = 64 * 1024
DRAIN_READS: Final = 64
HEAP_EXHAUSTED: Final = (b"JavaScript heap out of memory", b"Fatal JavaScript out of memory")
"""What node and deno print before they abort at their heap limit, which is below the sandbox's."""
STRAY_BYTES: Final = 4096
"""How much a sandbox may write between two jobs; nothing of it is kept."""
_WRITE_ONLY: Final = 0o200
_PAUSE_SECONDS: Final = 0.02
_START_SECONDS: Final = 0.002
"""How long output waits for the frame that starts a job; that frame is the next event, usually."""
_BOOT_CHARS: Final = 2000
_STDERR_TAIL_BYTES: Final = 4096


class Stdio:
    """A sandbox's raw stdout and stderr: what subprocesses and C code write past the harness.

    What arrives belongs to the job that is `current`.
    """

    __slots__ = (
        "_catch_up",
        "_clock",
        "_fds",
        "_loop",
        "_on_stray",
        "_stopped",
        "_stray_bytes",
        "boot_text",
        "booting",
        "current",
        "stderr_tail",
        "used",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        catch_up: Callable[[], bool],
        on_stray: Callable[[], None],
    ) -> None:
        """`catch_up` reads the frames that have arrived, so that `current` is the job that wrote the output.

        It returns whether a job is about to start: output is then read after that frame. `on_stray` is
        called when more was written between jobs than a job may leave behind.
        """
        self._loop = loop
        self._catch_up = catch_up
        self._clock = clock
        self._on_stray = on_stray
        self._stray_bytes = 0
        self._stopped = False
        self._fds = [-1, -1]
        self.current: RunningJob | None = None
        self.booting = True
        self.boot_text = ""
        self.used = False
        self.stderr_tail = b""

    def open(self, uid: int) -> tuple[int, int]:
        """Open both pipes and return the ends to write to, which the caller closes.

        They belong to the sandbox's uid, which can therefore open them again, as /dev/stdout, to write.
        """
        writers = []
        for stream in (0, 1):
            self._fds[stream], writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._fds[stream], False)
            self._loop.add_reader(self._fds[stream], self._readable, stream)
            if uid:
                os.fchown(writer, uid, uid)
            os.fchmod(writer, _WRITE_ONLY)
            writers.append(writer)
        return writers[0], writers[1]

    @property
    def heap_exhausted(self) -> bool:
        """Whether a JavaScript runtime aborted at its heap limit."""
        return any(text in self.stderr_tail for text in HEAP_EXHAUSTED)

    def drain(self, job: RunningJob) -> None:
        """Read what an ended job has written, with a bound on the number of reads."""
        for stream in (0, 1):
            reads = DRAIN_READS
            while reads and self._read(stream, job):
                reads -= 1

    def stop(self) -> None:
        """Read no more but by `drain`: the sandbox is being killed."""
        self._stopped = True
        for fd in self._fds:
            if fd >= 0:
                self._loop.remove_reader(fd)

    def close(self) -> None:
        """Close both pipes."""
        for stream in (0, 1):
            self._close(stream)

    def _readable(self, stream: int) -> None:
        if not self.booting and self._catch_up():
            self._pause(stream, _START_SECONDS)
            return
        job = self.current
        if self._read(stream, job) and job is not None and job.log_is_full():
            self._pause(stream, _PAUSE_SECONDS)

    def _pause(self, stream: int, seconds: float) -> None:
        self._loop.remove_reader(self._fds[stream])
        self._loop.call_later(seconds, self._resume, stream, self._fds[stream])

    def _resume(self, stream: int, fd: int) -> None:
        if self._fds[stream] == fd >= 0 and not self._stopped:
            self._loop.add_reader(fd, self._readable, stream)

    def _read(self, stream: int, job: RunningJob | None) -> bool:
        """Read once; return False when nothing is there."""
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
        elif job is not None:
            self.used = True
            self._write(stream, job, data)
        else:
            self._stray_bytes += len(data)
            if self._stray_bytes > STRAY_BYTES:
                self._on_stray()
        return bool(data)

    def _write(self, stream: int, job: RunningJob, data: bytes) -> None:
        if stream:
            self.stderr_tail = (self.stderr_tail + data)[-_STDERR_TAIL_BYTES:]
        job.take_text(self._clock(), len(protocol.LEVELS) + stream, protocol.LEVELS[2 * stream], data)

    def _close(self, stream: int) -> None:
        if self._fds[stream] >= 0:
            self._loop.remove_reader(self._fds[stream])
            os.close(self._fds[stream])
            self._fds[stream] = -1
