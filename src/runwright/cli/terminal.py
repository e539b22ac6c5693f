"""What the terminal can show: colours, width, and text without characters that could control it."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import Final, TextIO, TypeAlias

WIDEST_TEXT: Final = 100
"""Help and messages are not wider than this, however wide the terminal is."""

Paint: TypeAlias = Callable[[str], str]

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "": "",
}
_CONTROLS: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_])"  # sequences
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
"""Escape sequences, C0 and C1 controls but tab and newline, marks that turn the direction of text or end a
line, and invisible letters.
"""

_OURS: Final = re.compile(r"(\x1b\[(?:0|(?:[12]|3[1-6])(?:;(?:[12]|3[1-6]))*)m)")
"""The sequences that `painter` makes."""


def is_drawable(stream: TextIO) -> bool:
    """Return whether a stream is a terminal on which lines can be drawn anew."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO) -> bool:
    """Return whether a stream shows colours: a terminal does, unless NO_COLOR or TERM=dumb is set."""
    return is_drawable(stream) and not os.environ.get("NO_COLOR")


def is_interactive() -> bool:
    """Return whether a person can be asked: the input and the messages are both on a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def painter(stream: TextIO) -> Callable[[str, str], str]:
    """Return a function that puts text in styles such as `bold cyan`, where the stream shows colours."""
    return _paint if has_colours(stream) else _plain


def _paint(style: str, text: str) -> str:
    codes = ";".join(_CODES[name] for name in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text


def _plain(_style: str, text: str) -> str:
    return text


def width_of(stream: TextIO) -> int | None:
    """Return the width of a terminal in columns; None for anything else, where nothing is cut."""
    return shutil.get_terminal_size((80, 24)).columns if stream.isatty() else None


def text_width(stream: TextIO) -> int:
    """Return how wide running text may be."""
    return min(width_of(stream) or 80, WIDEST_TEXT)


def printable(text: str) -> str:
    """Return text without what could control a terminal; tabs and newlines stay."""
    return _CONTROLS.sub("", text)


def harmless(text: str, stream: TextIO) -> str:
    """Return painted text as a stream gets it: on a terminal without control characters but our colours."""
    if not stream.isatty():
        return text
    parts = _OURS.split(text)
    return "".join(part if n % 2 else printable(part) for n, part in enumerate(parts))


def shown(text: str, stream: TextIO) -> str:
    """Return text as a stream gets it: unchanged, but without control characters on a terminal."""
    return printable(text) if stream.isatty() else text


def one_line(text: str) -> str:
    """Return text on one line, without control characters."""
    return " ".join(printable(text).split())


def continued(text: str) -> str:
    """Return text whose lines after the first are indented, so that none looks like a line of ours."""
    return text.replace("\n", "\n  ")


def argument(text: str) -> str:
    """Return text as a word of a command line that a person may copy into a shell."""
    return shlex.quote(one_line(text))


def note(text: str, style: str = "") -> None:
    """Print a message for people, on stderr; stdout has results only."""
    sys.stderr.write(f"{harmless(painter(sys.stderr)(style, text), sys.stderr)}\n")
