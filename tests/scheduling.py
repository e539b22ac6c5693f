"""Which worker of pytest-xdist runs which files: the longest first, and those that share a server on one worker.

A file is run by one worker, so that what a module prepares is prepared once. A worker that has started the server of
a folder goes on with that folder; another one helps only when nothing else is left. `file_seconds.txt` has the files
that take longest, as a run with `--file-seconds` has measured and written them; the others count by their tests.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling
from xdist.workermanage import WorkerController

FOLDERS: Final = ("tests/contract", "tests/e2e")
"""Folders whose tests share servers."""

SECONDS_PER_TEST: Final = 0.05
LEAST_SECONDS: Final = 8.0
"""What a file must take to be written down."""

MEASURED: Final = Path(__file__).with_name("file_seconds.txt")


def folder_of(file: str) -> str | None:
    """Return the folder whose server a file's tests share, if there is one."""
    return next((folder for folder in FOLDERS if file.startswith(f"{folder}/")), None)


class FileScheduling(LoadScopeScheduling):
    """Gives each worker the file that suits it best."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        self._owners: dict[str, WorkerController] = {}
        self._measured = read_file_seconds()

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(self._best(node), last=False)
        super()._assign_work_unit(node)

    def _best(self, node: WorkerController) -> str:
        """Return the next file of a worker: of its own folder, else what takes longest, else of another's folder."""
        own, others = list[str](), list[str]()
        free: dict[str, list[str]] = defaultdict(list)
        for file in self.workqueue:
            folder = folder_of(file)
            owner = self._owners.get(folder) if folder else None
            if owner is None:
                free[folder or file].append(file)
            else:
                (own if owner is node else others).append(file)
        files = own or max(free.values(), key=self._seconds, default=others)
        best = max(files, key=lambda file: self._seconds([file]))
        if folder := folder_of(best):
            self._owners.setdefault(folder, node)
        return best

    def _seconds(self, files: Iterable[str]) -> float:
        return sum(self._measured.get(file, SECONDS_PER_TEST * len(self.workqueue[file])) for file in files)


def read_file_seconds() -> dict[str, float]:
    """Return how long the longest files take."""
    lines = (line.split() for line in MEASURED.read_text().splitlines())
    return {file: float(seconds) for file, seconds in lines}


class FileSeconds:
    """Measures how long the files of a run take, and writes it down at its end, beside what is known of others."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        known = read_file_seconds() | self._seconds
        found = sorted(known.items(), key=lambda one: (-one[1], one[0]))
        lines = [f"{file} {seconds:.0f}\n" for file, seconds in found if seconds >= LEAST_SECONDS]
        MEASURED.write_text("".join(lines))
