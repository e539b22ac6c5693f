"""Lines of logs on a terminal, and which of them are shown."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from runwright.cli.exits import UsageError
from runwright.cli.terminal import continued, painter, shown

if TYPE_CHECKING:
    from runwright.client.models.jobs import LineInfo


class LowestLevel(StrEnum):
    """The lowest level of the lines that are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


_RANKS: Final = {level: rank for rank, level in enumerate(LowestLevel)}
_STYLES: Final = {
    LowestLevel.DEBUG: "dim",
    LowestLevel.INFO: "dim",
    LowestLevel.WARN: "yellow",
    LowestLevel.ERROR: "red",
}


class LineFilter(msgspec.Struct, frozen=True):
    """Which lines are shown."""

    level: LowestLevel = LowestLevel.DEBUG
    pattern: re.Pattern[str] | None = None
    since: datetime | None = None

    def takes(self, line: "LineInfo") -> bool:
        """Return whether a line is shown. Lines of unknown levels are."""
        rank = _RANKS.get(LowestLevel(line.level), 0) if line.level in set(LowestLevel) else len(_RANKS)
        if rank < _RANKS[self.level] or (self.since is not None and line.ts < self.since):
            return False
        return self.pattern is None or self.pattern.search(line.msg) is not None


def read_pattern(text: str | None) -> re.Pattern[str] | None:
    """Return the regular expression of `--grep`. UsageError if it is none."""
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UsageError(f"--grep is no regular expression: {error}.") from None


def format_line(line: "LineInfo", stream: TextIO, *, label: str = "") -> str:
    """Return a line with time, level and fields; control characters are left out on a terminal."""
    paint = painter(stream)
    local = stream.isatty()
    at = line.ts.astimezone() if local else line.ts.astimezone(UTC)
    milliseconds = f"{at.microsecond // 1000:03}"
    clock = f"{at:%H:%M:%S}.{milliseconds}" if local else f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds}Z"
    style = _STYLES.get(LowestLevel(line.level), "") if line.level in set(LowestLevel) else ""
    fields = "".join(f" {name}={_value(value)}" for name, value in line.fields.items())
    text = shown(line.msg, stream)
    if local:
        text = continued(text)
    parts = [paint("dim", clock), paint(style, line.level.ljust(5)), label, text]
    return " ".join(part for part in parts if part) + paint("cyan", shown(fields, stream))


def _value(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f'"{text}"' if " " in text else text
