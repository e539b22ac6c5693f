"""Results on stdout: a table for people, JSON for programs.

JSON is written unchanged: no colours, no wrapping, nothing truncated. A table on a terminal fits its width;
written to a file or a pipe it has full ids, and nothing is cut either.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from runwright.cli.terminal import harmless, one_line, painter, width_of
from runwright.cli.text_width import columns_of, cut

if TYPE_CHECKING:
    from runwright.client.models.base import Info

T = TypeVar("T")

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Thing: TypeAlias = "dict[str, Json]"
"""A resource as the server sends it, with fields that this version may not know."""

_GAP: Final = "  "
_NARROWEST: Final = 8


class OutputFormat(StrEnum):
    """The format of what a command reads."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"

    @property
    def is_json(self) -> bool:
        return self in {OutputFormat.JSON, OutputFormat.JSONL}


class Column(msgspec.Struct, Generic[T], frozen=True):
    """A column of a table."""

    title: str
    text: Callable[[T], str]
    """The text of a cell; control characters are removed from it."""
    style: Callable[[T], str] = lambda _row: ""
    wide: bool = False
    """Only with `-o wide`."""
    flexible: bool = False
    """Made narrower first where the terminal is too narrow."""
    right: bool = False
    mark: bool = False
    """Empty where there is nothing to mark, instead of `-`."""


class Output(msgspec.Struct, frozen=True):
    """Prints results in the format that was asked for."""

    format: OutputFormat = OutputFormat.TABLE

    def thing(self, thing: object, human: Callable[[], str]) -> None:
        """Print one resource."""
        if self.format.is_json:
            write_json(thing, indent=None if self.format is OutputFormat.JSONL else 2)
        else:
            text = harmless(human(), sys.stdout)
            sys.stdout.write(f"{text}\n" if text else "")

    def rows(self, rows: Iterable[T], columns: Sequence[Column[T]], *, empty: str) -> int:
        """Print a list, an array in JSON, a line per row in JSONL; return how many rows there were.

        `empty` is printed on stderr where a table would have no rows.
        """
        if self.format is OutputFormat.JSONL:
            return _write_lines(rows)
        found = list(rows)
        if self.format is OutputFormat.JSON:
            write_json(found)
        elif found:
            chosen = [one for one in columns if self.format is OutputFormat.WIDE or not one.wide]
            sys.stdout.write(render_table(found, chosen, cut_to=self._width) + "\n")
        else:
            sys.stderr.write(f"{empty}\n")
        return len(found)

    @property
    def is_table(self) -> bool:
        return not self.format.is_json

    @property
    def _width(self) -> int | None:
        return None if self.format is OutputFormat.WIDE else width_of(sys.stdout)


def _write_lines(rows: Iterable[object]) -> int:
    count = 0
    for row in rows:
        write_json(row, indent=None)
        count += 1
    return count


def write_json(value: object, *, indent: int | None = 2) -> None:
    """Write a value as JSON, with all its characters."""
    plain = _builtins(value)
    separators = (",", ":") if indent is None else None
    only_ascii = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(plain, indent=indent, ensure_ascii=only_ascii, separators=separators)
    sys.stdout.write(_without_lone_surrogates(text) + "\n")
    sys.stdout.flush()


def _builtins(value: object) -> Any:  # noqa: ANN401  JSON
    """Return a value as the server sent it, with fields that this version does not know."""
    if isinstance(value, list):
        return [_builtins(one) for one in value]
    raw = getattr(value, "raw", None)
    return msgspec.json.decode(raw) if isinstance(raw, bytes) else msgspec.to_builtins(value)


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def render_table(rows: Sequence[T], columns: Sequence[Column[T]], *, cut_to: int | None) -> str:
    """Return rows below their titles; wider than `cut_to` only if even narrow columns do not fit."""
    cells = [
        [one_line(column.text(row)) or ("" if column.mark else "-") for column in columns] for row in rows
    ]
    table = [[column.title for column in columns], *cells]
    widths = [max(map(columns_of, each)) for each in zip(*table, strict=True)]
    if cut_to is not None:
        _make_fit(widths, columns, cut_to)
    styles = [["bold"] * len(columns), *([column.style(row) for column in columns] for row in rows)]
    right = [column.right for column in columns]
    return "\n".join(
        _GAP.join(map(_cell, line, looks, widths, right)).rstrip()
        for line, looks in zip(table, styles, strict=True)
    )


def _cell(text: str, style: str, width: int, right: bool) -> str:  # noqa: FBT001  one of four columns of a map
    shown = cut(text, width)
    space = " " * (width - columns_of(shown))
    styled = painter(sys.stdout)(style, shown)
    return space + styled if right else styled + space


def _make_fit(widths: list[int], columns: Sequence[Column[Any]], total: int) -> None:
    """Narrow the flexible columns, the widest first, until the line fits or none can be narrower."""
    flexible = [n for n, column in enumerate(columns) if column.flexible]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - total
    while over > 0 and flexible:
        widest = max(flexible, key=lambda n: widths[n])
        if widths[widest] <= _NARROWEST:
            return
        widths[widest] -= 1
        over -= 1


def section(title: str, values: Mapping[str, str]) -> str:
    """Return a title above names and values; empty values are left out."""
    paint = painter(sys.stdout)
    shown = {name: text for name, value in values.items() if (text := one_line(value))}
    width = max(map(len, shown), default=0)
    rows = (f"  {paint('dim', name.ljust(width))}  {text}" for name, text in shown.items())
    return "\n".join([paint("bold", one_line(title)), *rows])


def thing_of(resource: "Info") -> Thing:
    """Return a resource as the server sent it."""
    thing: Thing = msgspec.json.decode(resource.raw)
    return thing


def plain(value: Json) -> str:
    """Return a JSON value as readable text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={plain(each)}" for name, each in value.items())
    return str(value)
