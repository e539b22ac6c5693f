"""Checks tables of a TOML file against structs, and collects every problem with its place."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from runwright.cli.exits import UsageError
from runwright.cli.project.positions import KeyPath, Positions

_EXPECTED: Final = re.compile(r"Expected `([^`]+)`(.*?)(?:, got `([^`]+)`)?(?: - at `\$(.*)`)?$")
_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


class FileProblems:
    """What is wrong with a file."""

    def __init__(self, file_name: str, positions: Positions) -> None:
        self._file_name = file_name
        self._positions = positions
        self._found: list[tuple[int, str, str]] = []

    def add(self, path: KeyPath, message: str, *, shown: str | None = None) -> None:
        """Note a problem of the key with this path."""
        self._found.append((self._positions.line_of(path), shown or key_text(path), message))

    def has(self, path: KeyPath) -> bool:
        """Return whether the file has this key."""
        return self._positions.has(path)

    def place_of(self, path: KeyPath) -> str:
        """Return the file and the line of a key."""
        return f"{self._file_name}:{self._positions.line_of(path)}"

    def raise_if_any(self) -> None:
        """Raise UsageError with all problems, by line."""
        if not self._found:
            return
        fields: dict[str, list[str]] = {}
        for line, key, message in sorted(set(self._found)):
            fields.setdefault(f"{self._file_name}:{line}: {key}", []).append(message)
        count = len(set(self._found))
        raise UsageError(
            f"{self._file_name} has {_problems(count)}. Nothing was changed.",
            fields=fields,
        )


def _problems(count: int) -> str:
    return "a problem" if count == 1 else f"{count} problems"


def key_text(path: KeyPath) -> str:
    """Return a path as `worker[0].config.NAME`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def check_table(
    raw: Mapping[str, Any],
    kind: type[msgspec.Struct],
    path: KeyPath,
    problems: FileProblems,
    *,
    partial: bool = False,
) -> dict[str, Any]:
    """Return the values of a table that are right; `partial` allows required keys to be missing."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    good: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            problems.add((*path, key), unknown_key(key, fields))
            continue
        try:
            good[key] = msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError as error:
            problems.add((*path, key), explain(str(error)))
    for name, field in fields.items():
        if field.required and not partial and name not in raw:
            problems.add(path, f"Must have {name}.")
    return good


def unknown_key(key: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Return the message for a key that is not known."""
    close = difflib.get_close_matches(key, list(known), n=1)
    return (
        f"Is not known. Did you mean {close[0]}?" if close else f"Is not known; there are {', '.join(known)}."
    )


def explain(message: str) -> str:
    """Return a message of msgspec in the words of a file."""
    found = _EXPECTED.match(message)
    if found is None:
        return _Unexplained.explain(message)
    expected, bound, got, place = found.groups()
    if (expected, got) == ("array", "object") and not place:
        return "Must be a list of tables, each under [[…]] in double brackets."
    names = " or ".join(
        _TYPES.get(one.strip(), one.strip()) for one in expected.split("|") if one.strip() != "null"
    )
    where = f"{place.lstrip('.')}: " if place else ""
    but = f", not {_TYPES.get(got, got)}" if got else ""
    return f"{where}Must be {names}{_bound_text(bound)}{but}."


def _bound_text(bound: str) -> str:
    return (
        bound.replace(" >= ", " of at least ")
        .replace(" <= ", " of at most ")
        .replace(" of length ", ", length")
    )


class _Unexplained:
    _INVALID: Final = re.compile(r"Invalid enum value (.+?)(?: - at .*)?$")
    _MISSING: Final = re.compile(r"Object missing required field `(.+?)`")
    _UNKNOWN: Final = re.compile(r"Object contains unknown field `(.+?)`")

    @classmethod
    def explain(cls, message: str) -> str:
        if found := cls._INVALID.match(message):
            return f"Is not one of the possible values: {found[1]}."
        if found := cls._MISSING.match(message):
            return f"Must have {found[1]}."
        if found := cls._UNKNOWN.match(message):
            return f"Has the unknown key {found[1]}."
        return f"{message}."
