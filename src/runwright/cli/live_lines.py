"""Log lines as they come, and below them, on a terminal, how far their jobs are.

```text
14:03:07.120 info  opened the book
━━━━━━━━────────────  40%  pages
```
"""

import threading
from typing import TYPE_CHECKING, Final, TextIO

from runwright.cli.log_lines import LineFilter, format_line
from runwright.cli.terminal import is_drawable, one_line, painter, width_of
from runwright.cli.text_width import cut

if TYPE_CHECKING:
    from runwright.client.models.jobs import LineInfo, ProgressInfo

_BAR: Final = 20
_ERASE: Final = "\r\x1b[2K"


class LiveScreen:
    """A stream with lines, and a last line that is drawn anew if the stream is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._drawable = is_drawable(stream)
        self._lock = threading.Lock()
        self._progress: dict[str, str] = {}
        self._drawn = False

    def print(self, text: str) -> None:
        """Print a line above the last one."""
        with self._lock:
            self._erase()
            self.stream.write(f"{text}\n")
            self._draw()

    def show(self, job_id: str, text: str) -> None:
        """Show in the last line how far a job is; an empty text removes it."""
        if not self._drawable:
            return
        with self._lock:
            self._progress.pop(job_id, None)
            if text:
                self._progress[job_id] = text
            self._erase()
            self._draw()

    def _erase(self) -> None:
        if self._drawn:
            self.stream.write(_ERASE)
            self._drawn = False

    def _draw(self) -> None:
        text = "   ".join(self._progress.values())
        if text:
            self.stream.write(painter(self.stream)("cyan", cut(text, (width_of(self.stream) or 80) - 1)))
            self._drawn = True
        self.stream.flush()


class LinePrinter:
    """Prints the lines and the progress of one job."""

    def __init__(
        self, screen: LiveScreen, job_id: str, lines: LineFilter | None = None, *, label: str = ""
    ) -> None:
        self._screen = screen
        self._job_id = job_id
        self._lines = lines or LineFilter()
        self._label = label
        self._ended = False

    def line(self, line: "LineInfo") -> None:
        """Print a line, unless it is filtered out."""
        if self._lines.takes(line):
            self._screen.print(format_line(line, self._screen.stream, label=self._label))

    def progress(self, progress: "ProgressInfo") -> None:
        """Show how far the job is."""
        if not self._ended:
            self._screen.show(self._job_id, progress_text(progress))

    def end(self) -> None:
        """Show no progress of the job any more."""
        self._ended = True
        self._screen.show(self._job_id, "")


def progress_text(progress: "ProgressInfo") -> str:
    """Return a bar, a percentage and what the job does, as far as it reports them."""
    parts: list[str] = []
    if progress.fraction is not None:
        done = min(max(progress.fraction, 0.0), 1.0)
        full = int(done * _BAR)
        parts += ["━" * full + "─" * (_BAR - full), f"{done:4.0%}"]
    if progress.message:
        parts.append(one_line(progress.message))
    return " ".join(parts)
