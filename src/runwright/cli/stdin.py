"""Ids and values on standard input, and in files."""

import json
import sys
from collections.abc import Iterator
from typing import Final, TextIO

from runwright.cli.exits import UsageError

_MOST_LINES: Final = 100_000


def read_bounded(source: TextIO, what: str, most: int) -> str:
    """Return all of a text. UsageError if it has more than so many characters, which are not read."""
    text = source.read(most + 1)
    if len(text) > most:
        raise UsageError(f"{what} has more than {most} characters.")
    return text


def read_ids(kind: str) -> Iterator[str]:
    """Yield the ids on stdin: one a line, or JSON lines with the member `id`."""
    if sys.stdin.isatty():
        raise UsageError(
            "--stdin needs a pipe.", hint="runwright jobs list -o jsonl … | runwright jobs cancel --stdin"
        )
    for number, line in enumerate(sys.stdin, 1):
        if number > _MOST_LINES:
            raise UsageError(f"More than {_MOST_LINES} lines on stdin.")
        if text := line.strip():
            yield _id_of(text, number, kind)


def _id_of(text: str, number: int, kind: str) -> str:
    if not text.startswith("{"):
        return text
    try:
        found = json.loads(text)["id"]
    except (ValueError, KeyError):
        found = None
    if not isinstance(found, str):
        raise UsageError(f"Line {number} of stdin is no {kind}: {text[:60]}")
    return found
