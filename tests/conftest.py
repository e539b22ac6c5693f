"""One PostgreSQL per test process, and a migrated database without rows for every test that asks."""

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.pool import Pool, open_pool
from tests import other_postgres
from tests.databases import Databases, execute, for_database, make_template

_numbers = itertools.count(1)

# The suite starts Python some hundred times. Where the environment forbids to keep bytecode, each
# start compiles every module anew, which takes several times as long as the rest of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What is tried is the same each time, and a busy machine is no counterexample. `CHAOS=long` tries others.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=os.environ.get("CHAOS") != "long",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


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
    server = EmbeddedPostgres(server_dir)
    dsn = await server.start()
    try:
        await make_template(dsn)
        yield dsn
    finally:
        await server.stop()


@pytest.fixture(scope="session")
def databases(postgres: str) -> Databases:
    """Those of this test process."""
    return Databases(postgres)


@pytest.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a database of this test's own, without a schema."""
    name = f"empty_{next(_numbers)}"
    await execute(postgres, f"CREATE DATABASE {name}")
    yield for_database(postgres, name)
    await execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
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
