"""What became of mutants: the results of runs, and the survivors that are argued.

`argued.toml` lists mutants that no test has to notice, each with the reason.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.mutate.changes import ROOT, Mutant

RESULTS: Final = ROOT / "build" / "mutation"
ARGUED: Final = Path(__file__).parent / "argued.toml"

KILLED: Final = "killed"
SURVIVED: Final = "survived"
ARGUED_ONE: Final = "argued"
TIMED_OUT: Final = "timed out"
"""Its tests took many times as long as without it: it never ends, or the machine was busy."""

UNREACHED: Final = "not reached"
NOT_APPLIED: Final = "not applied"


class Argued(msgspec.Struct, frozen=True):
    """A mutant that no test has to notice."""

    file: str
    function: str
    line: str
    """The text of the line."""
    changes: list[str]
    why: str

    def identities(self) -> set[tuple[str, ...]]:
        """Return what its mutants are recognized by."""
        return {(self.file, self.function, self.line, change) for change in self.changes}


def key_of(mutant: Mutant) -> tuple[str, ...]:
    """Return what a mutant is recognized by after other lines of its file have changed."""
    return mutant.file, mutant.function, mutant.text, mutant.change


def argued_keys() -> set[tuple[str, ...]]:
    """Return the keys of all argued mutants."""
    entries = msgspec.convert(tomllib.loads(ARGUED.read_text()).get("argued", []), list[Argued])
    return {key for entry in entries for key in entry.identities()}


def stale_keys(mutants: Iterable[Mutant], folders: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the argued mutants of these folders that the code does not have any more."""
    there = {key_of(mutant) for mutant in mutants}
    return sorted(key for key in argued_keys() - there if key[0].startswith(tuple(folders)))


def write_fates(target: str, fates: Mapping[str, Sequence[Mutant]]) -> None:
    """Keep the results of one target in build/mutation/."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = {fate: [msgspec.to_builtins(one) for one in mutants] for fate, mutants in fates.items()}
    (RESULTS / f"{target}.json").write_text(json.dumps(found, indent=1))


def not_killed_before(target: str) -> set[tuple[str, ...]]:
    """Return the keys of the mutants that the last run of a target did not kill."""
    found = msgspec.json.decode((RESULTS / f"{target}.json").read_bytes(), type=dict[str, list[Mutant]])
    return {key_of(one) for fate, mutants in found.items() if fate != KILLED for one in mutants}
