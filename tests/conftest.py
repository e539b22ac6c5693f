"""One PostgreSQL per test process, and a migrated database without rows for every test that asks."""

import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from runwright.db.embedded import EmbeddedPostgres, tuning
from runwright.db.pool import Pool, open_pool
from tests import other_postgres
from tests.clusters import FOLDER_VARIABLE, copy_cluster
from tests.databases import Databases, execute, for_database, make_template
from tests.preloaded import preloaded
from tests.scheduling import FileScheduling, FileSeconds

WITHOUT_DURABILITY: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
"""Settings of the PostgreSQL of a test process, whose rows nobody needs after a crash, and seldom after a test."""

_numbers = itertools.count(1)
_made: list[str] = []

# The suite starts Python some hundred times. Where the environment forbids to keep bytecode, each
# start compiles every module anew, which takes several times as long as the rest of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Servers of tests are one process on large machines, too; those of `test_processes.py` say how many they are.
if len(os.sched_getaffinity(0)) > 3:
    os.environ.setdefault("RUNWRIGHT_PROCESSES", "1")

# What is tried is the same each time, and a busy machine is no counterexample. `CHAOS=long` tries others.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=os.environ.get("CHAOS") != "long",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run measure what `tests/scheduling.py` goes by."""
    parser.addoption("--file-seconds", action="store_true", help="write tests/file_seconds.txt anew")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """Distribute whole files over the processes of a run."""
    return FileScheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that the processes of this run share; they inherit its name."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what is in the background so, and commands of tests would inherit that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # so does nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if config.getoption("--file-seconds") and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(FileSeconds())
    if FOLDER_VARIABLE not in os.environ:
        remove_shared_folders_of_the_dead()
        folder = tempfile.mkdtemp(prefix=f"runwright-shared-{os.getpid()}-", dir="/tmp")
        Path(folder).chmod(0o711)
        os.environ[FOLDER_VARIABLE] = folder
        _made.append(folder)


def remove_shared_folders_of_the_dead() -> None:
    """Remove what runs have left that were killed: the folders are named after their processes."""
    for folder in Path("/tmp").glob("runwright-shared-*-*"):
        if not Path("/proc", folder.name.split("-")[2]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def pytest_unconfigure() -> None:
    """End what tests have started for those that follow, and remove the folder that this process has made."""
    preloaded.stop()
    for folder in _made:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach, removed at the end whatever happened."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-test-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(server_dir: Path) -> AsyncIterator[str]:
    """The address of this test process's PostgreSQL, with a migrated template database."""
    if address := os.environ.get(other_postgres.ADDRESS):
        yield address
        return
    if programs := os.environ.get(other_postgres.VARIABLE):
        async with other_postgres.private_postgres(Path(programs), server_dir) as dsn:
            await make_template(dsn)
            yield dsn
        return
    copy_cluster(server_dir)
    server = EmbeddedPostgres(server_dir)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WITHOUT_DURABILITY.items():
            patch.setitem(tuning.SETTINGS, name, value)
        dsn = await server.start()
    try:
        yield dsn
    finally:
        await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def databases(postgres: str) -> AsyncIterator[Databases]:
    """Those of this test process."""
    made = Databases(postgres)
    yield made
    await made.close()


@pytest.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a database of this test's own, without a schema."""
    name = f"empty_{next(_numbers)}"
    await execute(postgres, f"CREATE DATABASE {name}")
    yield for_database(postgres, name)
    await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture(loop_scope="session")
async def database_url(postgres: str, databases: Databases) -> AsyncIterator[str]:
    """The address of a migrated database without rows, of this test's own."""
    name = await databases.lend()
    yield for_database(postgres, name)
    await databases.take_back(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Pool]:
    """A pool on a migrated database of this test's own."""
    pool = await open_pool(database_url)
    yield pool
    pool.terminate()
