"""Which worker runs which files next."""

from collections import OrderedDict
from typing import Final, cast

import pytest
from xdist.workermanage import WorkerController

from tests.scheduling import FileScheduling

SECONDS: Final = {
    "tests/contract/test_jobs.py": 10.0,
    "tests/contract/test_keys.py": 2.0,
    "tests/unit/test_long.py": 9.0,
    "tests/unit/test_longer.py": 11.0,
}
FIRST, SECOND = (cast("WorkerController", object()) for _ in range(2))


@pytest.fixture
def scheduling() -> FileScheduling:
    made = FileScheduling.__new__(FileScheduling)  # without the workers of a run
    made.workqueue = OrderedDict((file, {f"{file}::test_it": False}) for file in SECONDS)
    made._owners, made._measured = {}, SECONDS  # noqa: SLF001  as its constructor does
    return made


def take(scheduling: FileScheduling, worker: WorkerController) -> str:
    file = scheduling._best(worker)  # noqa: SLF001  all that is ours of it
    del scheduling.workqueue[file]
    return file


def test_a_folder_with_a_server_stays_with_the_worker_that_began_it(scheduling: FileScheduling) -> None:
    assert take(scheduling, FIRST) == "tests/contract/test_jobs.py", "its folder takes longest as a whole"
    assert take(scheduling, SECOND) == "tests/unit/test_longer.py"
    assert take(scheduling, SECOND) == "tests/unit/test_long.py", "the other folder is another worker's"
    assert take(scheduling, FIRST) == "tests/contract/test_keys.py"


def test_a_worker_without_work_helps_with_a_folder_of_another(scheduling: FileScheduling) -> None:
    assert [take(scheduling, worker) for worker in (FIRST, SECOND, SECOND, SECOND)] == [
        "tests/contract/test_jobs.py",
        "tests/unit/test_longer.py",
        "tests/unit/test_long.py",
        "tests/contract/test_keys.py",
    ]
