"""Where in a project's file a definition is that was read from it, with what an environment changes."""

from collections.abc import Mapping, Sequence

import msgspec

from runwright.cli.project.positions import KeyPath
from runwright.cli.project.tables import FileProblems, key_text


class FilePlaces(msgspec.Struct, frozen=True):
    """The places of one file, as it was read for one environment."""

    _problems: FileProblems
    _environment: str
    _workers: Sequence[str]
    """Their names, in the order of the file."""
    _counts: Mapping[str, int]
    """How many definitions of each other kind are at the top of the file; those of the environment follow."""

    def add(self, kind: str, number: int, below: Sequence[str | int], message: str) -> None:
        """Note a problem of a definition, or of what is below it."""
        self._problems.add(self._path(kind, number, below), message)

    def line_text(self, kind: str, number: int, below: Sequence[str | int]) -> str:
        """Return the place of a key with its line."""
        path = self._path(kind, number, below)
        return f"{self._problems.place_of(path)}: {key_text(path)}"

    def raise_if_any(self) -> None:
        """Raise UsageError with all that was added, by line."""
        self._problems.raise_if_any()

    def _path(self, kind: str, number: int, below: Sequence[str | int]) -> KeyPath:
        if kind == "worker":
            changed: KeyPath = ("env", self._environment, kind, self._workers[number], *below)
            return changed if self._problems.has(changed[:5]) and below else (kind, number, *below)
        first = self._counts[kind]
        if number >= first:
            return ("env", self._environment, kind, number - first, *below)
        return (kind, number, *below)
