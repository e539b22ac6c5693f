"""One PostgreSQL per test process, and a fresh migrated database for every test that asks."""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrate import migrate
from runwright.db.pool import Pool, connect, open_pool

TEMPLATE = "migrated_template"
_numbers = itertools.count(1)


def for_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


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
    server = EmbeddedPostgres(server_dir)
    dsn = await server.start()
    try:
        await _make_template(dsn)
        yield dsn
    finally:
        await server.stop()


async def _make_template(dsn: str) -> None:
    await _execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    connection = await connect(for_database(dsn, TEMPLATE))
    await migrate(connection)
    await connection.close()


async def _execute(dsn: str, statement: str) -> None:
    connection = await connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a database of this test's own, without a schema."""
    name = f"empty_{next(_numbers)}"
    await _execute(postgres, f"CREATE DATABASE {name}")
    yield for_database(postgres, name)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres: str) -> AsyncIterator[str]:
    """The address of a migrated database of this test's own."""
    name = f"test_{next(_numbers)}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield for_database(postgres, name)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Pool]:
    """A pool on a migrated database of this test's own."""
    pool = await open_pool(database_url)
    yield pool
    pool.terminate()
