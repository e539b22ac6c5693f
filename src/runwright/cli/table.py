"""Rows as aligned columns: nothing is cut, so that a script may read them too."""

from collections.abc import Iterable, Sequence


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the rows under their header; control characters in a cell cannot disturb the rest."""
    table = [header, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def _plain(cell: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in cell) or "-"
