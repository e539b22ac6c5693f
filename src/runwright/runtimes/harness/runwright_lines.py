"""The lines of what a job writes, also unfinished ones."""

from runwright_wire import LINE_CHARS, LogWriter

BAR_CHARS = 512
"""Above this the states of a progress bar before the last one are dropped."""


class LineStream:
    """Output of a job: its whole lines go to the log, and what is unfinished where `show` asks for it."""

    def __init__(self, log: LogWriter, level: int) -> None:
        self._log = log
        self._level = level
        self._part = b""
        self._begun = False
        """Whether a part of the line was sent."""

    @property
    def waits(self) -> bool:
        """Whether there is something that is not sent yet."""
        return bool(self._part)

    def take(self, data: bytes) -> None:
        """Send whole lines, keep the rest, up to a limit."""
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            head, self._part = self._part + head, b""
            if self._begun:
                self._begun = False
                first, more, head = head.partition(b"\n")
                self._log.write_part(self._level, first[:LINE_CHARS] + b"\n", ends=True)
                if not more:
                    newline = b""
            if newline:
                self._log.write(self._level, head)
        if tail and len(self._part) <= LINE_CHARS:
            self._part += tail[: LINE_CHARS + 1]
        if b"\r" in tail:  # the states of a progress bar follow each other
            last = self._part.rfind(b"\r", 0, -1)
            self._part = self._part[max(0, last) :] if len(self._part) > BAR_CHARS else self._part

    def show(self) -> None:
        """Send the unfinished line, unless others were just now; one that is too long waits for its end."""
        if not self._part or len(self._part) > LINE_CHARS:
            return
        if self._log.write_part(self._level, self._part):
            self._part, self._begun = b"", True

    def finish(self) -> None:
        """Send the unfinished line as the last one."""
        text, self._part = self._part, b""
        if self._begun:
            self._begun = False
            self._log.write_part(self._level, text[:LINE_CHARS] + b"\n", ends=True)
        elif text:
            self._log.write(self._level, text)
