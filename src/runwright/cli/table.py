"""Rows as aligned columns, without truncation, so that scripts can read them."""

from collections.abc import Iterable, Sequence


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the rows below their header; control characters in cells are replaced."""
    table = [header, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def _plain(cell: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in cell) or "-"
