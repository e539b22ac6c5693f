"""On which line of a TOML file each key is, so that a problem can be shown where it is.

The file has been parsed already, so its syntax is right: headers, keys and the ends of values are enough.
"""

import re
from typing import Final, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(rf"\s*({_DOTTED})\s*=")
_TOKEN: Final = re.compile(r"""\"\"\"|'''|"(?:[^"\\]|\\.)*"|'[^']*'|[\[\]{}#]""")


class Positions:
    """The line of each key, counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}
        self._table: KeyPath = ()
        self._open_string = ""
        self._depth = 0
        for number, line in enumerate(text.splitlines(), 1):
            self._read(number, line)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest table that holds it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def has(self, path: KeyPath) -> bool:
        """Return whether there is a line with this key."""
        return path in self._lines

    def _read(self, number: int, line: str) -> None:
        rest = line
        if not self._open_string and not self._depth:
            header = _HEADER.match(line)
            if header is not None:
                self._table = self._enter(_parts(header[2]), is_list=header[1] == "[[")
                for path in (self._table, tuple(part for part in self._table if isinstance(part, str))):
                    self._lines.setdefault(path, number)
                return
            key = _KEY.match(line)
            if key is not None:
                self._add(_parts(key[1]), number)
                rest = line[key.end() :]
        self._follow(rest)

    def _add(self, parts: list[str], number: int) -> None:
        path = self._table
        for part in parts:
            path = (*path, part)
            self._lines.setdefault(path, number)

    def _enter(self, parts: list[str], *, is_list: bool) -> KeyPath:
        path: KeyPath = ()
        for n, part in enumerate(parts):
            path = (*path, part)
            if is_list and n == len(parts) - 1:
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                path = (*path, self._counts[path])
        return path

    def _follow(self, text: str) -> None:
        """Note which strings and brackets are open at the end of a line."""
        at = 0
        while at < len(text):
            if self._open_string:
                end = text.find(self._open_string, at)
                if end < 0:
                    return
                at, self._open_string = end + 3, ""
                continue
            token = _TOKEN.search(text, at)
            if token is None or token[0] == "#":
                return
            at = token.end()
            if token[0] in {'"""', "'''"}:
                self._open_string = token[0]
            elif token[0] in "[]{}":
                self._depth += 1 if token[0] in "[{" else -1


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, dotted)]
