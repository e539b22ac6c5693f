"""sys.stdout and sys.stderr of python handlers: real text streams whose lines go to the job's log."""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import io
import logging
import os
import sys
import threading

from runwright_lines import LineStream
from runwright_text import encode_text
from runwright_wire import ERR, INFO, WARN, LogWriter

TYPE_CHECKING = False  # importing typing takes as long as half of the rest
if TYPE_CHECKING:
    from typing import Any

RUNS_FOR: contextvars.ContextVar[int | None] = contextvars.ContextVar("runwright_job", default=None)
"""The job that the running code was started by; None for what belongs to the worker, as a pool's threads."""

POOLS = ("concurrent.futures.", "multiprocessing.", "asyncio.")
"""What the modules are called whose threads serve more than one job."""


def owner() -> int | None:
    """Return the job that the running code was started by."""
    job = RUNS_FOR.get()
    return job if job is not None else getattr(threading.current_thread(), "runwright_job", None)


class RawOutput(io.RawIOBase):
    """The end of a stream."""

    def __init__(self, log: LogWriter, level: int, fd: int) -> None:
        self.mode = "wb"
        self.name = "<stdout>" if fd == 1 else "<stderr>"
        self.lines = LineStream(log, level)
        self.log = log
        self.holds = False
        """Whether a flush sends whole lines only."""
        self._fd = fd
        self._place = self._where()
        self._original = os.dup(fd)

    def _where(self) -> tuple[int, int] | None:
        """Return what the descriptor leads to; None if it is closed."""
        try:
            found = os.fstat(self._fd)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def restore(self) -> None:
        """Undo what the job has done to the descriptor, which children of the next job inherit."""
        if self._where() != self._place:
            with contextlib.suppress(OSError):  # it may have closed the copy too
                os.dup2(self._original, self._fd)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the pipe, for subprocesses."""
        return self._fd

    def close(self) -> None:
        """Do nothing: the next job writes here too."""

    def is_stale(self) -> bool:
        """Return whether the running code was left behind by a job that has ended."""
        job = owner()
        return job is not None and job != self.log.assignment_id and not self.log.forked

    def write(self, data: Any) -> int:
        """Send it; what ends no line, too, for the process may be killed next.

        Where user code leads the descriptor elsewhere with `dup2`, as redirections do, it goes there.
        """
        content = bytes(data)
        if self._where() not in {self._place, None}:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            return len(content)
        with self.log.lock:
            if not self.is_stale():
                self.lines.take(content)
                if self.lines.waits and not self.holds:
                    self.lines.show()
        return len(content)

    def show(self) -> None:
        """Send an unfinished line."""
        with self.log.lock:
            if self.lines.waits and not self.holds and not self.is_stale():
                self.lines.show()


class LogBuffer(io.BufferedWriter):
    """The `buffer` of a `LogStream`; it keeps nothing back."""

    def __init__(self, raw: RawOutput) -> None:
        super().__init__(raw)
        self.output = raw

    def write(self, data: Any) -> int:
        """Send it."""
        return self.output.write(data)

    def flush(self) -> None:
        """Send an unfinished line."""
        self.output.show()

    def close(self) -> None:
        """Do nothing: the next job writes here too."""

    def detach(self) -> RawOutput:
        """Return the raw stream, which stays in use here."""
        return self.output


class LogStream(io.TextIOWrapper):
    """Replaces sys.stdout or sys.stderr; unbuffered, so that nothing is lost when the process is killed."""

    def __init__(self, buffer: LogBuffer) -> None:
        super().__init__(buffer, "utf-8", "runwright", "\n", line_buffering=True)
        setattr(self, "mode", "w")  # noqa: B010  as the interpreter does; the type has it read-only
        self.output = buffer.output
        self._log = buffer.output.log
        self._is_stale = buffer.output.is_stale

    def write(self, text: str) -> int:
        """Write text, unless it is of a job that has ended."""
        if self._is_stale():
            return len(text)
        written = super().write(text)
        if text and text[-1] != "\n":
            self.flush()
        return written

    def close(self) -> None:
        """Do nothing: the next job writes here too."""

    def record(self, level: int, text: str) -> None:
        """Send a log record under its own level."""
        output = self.output
        with output.log.lock:
            if not output.is_stale():
                self.finish()
                output.log.write(level, encode_text(text))

    def finish(self) -> None:
        """End an unfinished line."""
        output = self.output
        with output.log.lock:
            output.holds = True
            try:
                self.flush()
            except ValueError:  # it is detached
                pass
            finally:
                output.holds = False
            output.lines.finish()


def print_whole() -> None:
    """Let `print` write its arguments and their end at once, as the stream sends what ends no line."""
    plain = builtins.print

    def write(
        *values: object,
        sep: str | None = " ",
        end: str | None = "\n",
        file: Any = None,
        flush: bool = False,
    ) -> None:
        stream = sys.stdout if file is None else file
        texts = {type(sep), type(end)} <= {str, type(None)}
        if type(stream) is not LogStream or not texts:
            plain(*values, sep=sep, end=end, file=file, flush=flush)
            return
        text = (" " if sep is None else sep).join(map(str, values))
        stream.write(text + ("\n" if end is None else end))
        if flush:
            stream.flush()

    write.__name__ = write.__qualname__ = "print"
    write.__module__, write.__doc__ = plain.__module__, plain.__doc__
    builtins.print = write


def open_stream(log: LogWriter, level: int, fd: int) -> LogStream:
    """Return a stream whose text goes to the log."""
    return LogStream(LogBuffer(RawOutput(log, level, fd)))


def is_detached(stream: LogStream) -> bool:
    """Return whether user code has taken the buffer away from a stream, for one of its own."""
    try:
        return stream.buffer is None
    except ValueError:
        return True


def replace_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    """Encode what is no character as U+FFFD: a lone surrogate must not fail a job that prints it."""
    return "\ufffd".encode(), getattr(error, "end", 0)


def mark_threads() -> None:
    """Note which job starts a thread, so that one that is left behind writes into no other job's log."""
    start = threading.Thread.start

    def begin(thread: threading.Thread) -> None:
        target = getattr(thread, "_target", None)
        if not str(getattr(target, "__module__", "")).startswith(POOLS):
            thread.runwright_job = owner()  # type: ignore[attr-defined]
        start(thread)

    begin.__name__, begin.__qualname__, begin.__doc__ = "start", start.__qualname__, start.__doc__
    threading.Thread.start = begin  # type: ignore[method-assign,assignment]


def level_records() -> None:
    """Send log records that go to a `LogStream` with their own level, which the text need not repeat."""
    if "%" in getattr(logging, "_STYLES", {}):
        logging._STYLES["%"] = (logging.PercentStyle, "%(message)s")  # type: ignore[assignment]  # noqa: SLF001
    plain = logging.StreamHandler.emit

    def emit(self: logging.StreamHandler[Any], record: logging.LogRecord) -> None:
        stream = self.stream
        if not isinstance(stream, LogStream):
            plain(self, record)
            return
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  logging reports broken records
            self.handleError(record)
            return
        warn = WARN if record.levelno >= logging.WARNING else INFO
        stream.record(ERR if record.levelno >= logging.ERROR else warn, text)

    logging.StreamHandler.emit = emit  # type: ignore[method-assign,assignment]
