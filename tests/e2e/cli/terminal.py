"""A pseudo-terminal in which a command runs as a person sees it."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_SECONDS = 120.0
_TAKE_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>]")


class Terminal:
    """A command at a terminal; what it prints is `text`, without colours."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], columns: int = 80
    ) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            cwd=cwd,
            env=dict(env),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        return _SEQUENCES.sub("", self.raw).replace("\r\n", "\n")

    def expect(self, wanted: str) -> Self:
        """Return when the text has been printed since the last one that was expected."""
        deadline = time.monotonic() + _SECONDS
        while (found := self.text.find(wanted, self._seen)) < 0:
            more = self._read(deadline - time.monotonic())
            assert more, f"{wanted!r} is not in:\n{self.text[self._seen :]}"
        self._seen = found + len(wanted)
        return self

    def send(self, text: str) -> Self:
        """Type text; `\\x03` is Ctrl-C."""
        os.write(self._master, text.encode())
        return self

    def end(self) -> int:
        """Return the exit code when the command has ended."""
        deadline = time.monotonic() + _SECONDS
        while self._read(deadline - time.monotonic()):
            pass
        code = self.process.wait(_SECONDS)
        os.close(self._master)
        return code

    def kill(self) -> None:
        """End a command that a failed test has left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def _read(self, seconds: float) -> bool:
        """Read what is there, or comes in time; False at the end."""
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
