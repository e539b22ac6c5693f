"""Progress bars and spinners, on a terminal only; Rich is loaded when one is drawn."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from runwright.cli.terminal import is_drawable


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr until the block ends; the block calls the function with how much is done."""
    if not is_drawable(sys.stderr) or total <= 1:
        yield _draw_nothing
        return
    rich = importlib.import_module("rich.progress")
    progress = _bar(rich.MofNCompleteColumn())
    with progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextlib.contextmanager
def byte_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar on stderr until the block ends; the block reports how many bytes of how many are done."""
    if not is_drawable(sys.stderr):
        yield lambda _done, _total: None
        return
    rich = importlib.import_module("rich.progress")
    progress = _bar(rich.DownloadColumn())
    with progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _draw_nothing(_done: int) -> None:
    pass


def _bar(figures: Any) -> Any:  # noqa: ANN401  classes of Rich, which is loaded late
    rich = importlib.import_module("rich.progress")
    console = importlib.import_module("rich.console").Console(stderr=True)
    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=30),
        figures,
        rich.TimeElapsedColumn(),
        console=console,
        transient=True,
    )


@contextlib.contextmanager
def redrawn() -> Iterator[Callable[[str], None]]:
    """Draw text in place on stdout until the block ends; the last one stays."""
    live_module = importlib.import_module("rich.live")
    text = importlib.import_module("rich.text").Text
    console = importlib.import_module("rich.console").Console()
    with live_module.Live(console=console, auto_refresh=False) as live:
        yield lambda drawn: live.update(text.from_ansi(drawn), refresh=True)
