"""SIGTERM and SIGHUP end `runwright dev` as Ctrl-C does: with its server, and not without it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Final

import typer

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
_EXIT: Final = 128


@contextmanager
def ended_by_signals() -> Iterator[Event]:
    """Raise KeyboardInterrupt in the block for a signal, and exit with 128 and its number after the block.

    What it gives is set then: an exception may be lost, as one that is raised while an object is freed. A
    signal that is ignored stays ignored, so that `nohup` has its effect.
    """
    received: list[int] = []
    ending = Event()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        ending.set()
        raise KeyboardInterrupt

    before = {one: signal.getsignal(one) for one in _SIGNALS}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(one, interrupt)
    try:
        yield ending
    except (KeyboardInterrupt, OSError):  # without its terminal nothing can be printed
        if not received:
            raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if received:
        raise typer.Exit(_EXIT + received[0])
