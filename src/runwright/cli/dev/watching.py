"""Which files were saved, as the system reports it; what an upload leaves out is no save."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final

from runwright.cli.project.ignore import IgnoreRules
from runwright.cli.project.names import FILE_NAME

_SETTLE_MS: Final = 150
"""Editors save in several steps; they are taken together."""

_LOOK_MS: Final = 200
"""How often it is looked for signals, and how long it takes to begin."""


def saves(folder: Path, ending: Event) -> Iterator[Sequence[Path]]:
    """Yield nothing once saves are watched for, then the files of each save, until Ctrl-C or `ending`."""
    root = folder.resolve()
    rules = _Rules(root)
    watching = False
    watchfiles: Any = importlib.import_module("watchfiles")
    for changes in watchfiles.watch(
        root,
        watch_filter=None,
        debounce=_SETTLE_MS,
        step=50,
        raise_interrupt=True,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        stop_event=ending,
    ):
        changed = sorted({Path(name) for _, name in changes})
        kept = [path for path in changed if rules.take(path)]
        if any(path.name == ".gitignore" for path in changed):
            rules = _Rules(root)
        if kept or not watching:
            watching = True
            yield kept


class _Rules:
    """Which paths below a folder matter."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rules = IgnoreRules(root)

    def take(self, path: Path) -> bool:
        if not path.is_relative_to(self._root) or path == self._root:
            return False
        if path == self._root / FILE_NAME:
            return True
        folders = [
            one for one in reversed(path.parents) if one != self._root and one.is_relative_to(self._root)
        ]
        return (
            not any(self._rules.reason(one, is_folder=True) is not None for one in folders)
            and self._rules.reason(path, is_folder=path.is_dir()) is None
        )
