"""Clusters of PostgreSQL with a migrated database, as files: to copy one takes a tenth of the time to make one.

The first test that asks for one makes it, for all the processes of a run. `pytest_configure` in `tests/conftest.py`
makes the folder that these share, and removes it at the end.
"""

import asyncio
import fcntl
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrator import migrate
from runwright.db.pool import connect
from tests.databases import make_template

FOLDER_VARIABLE: Final = "TEST_SHARED_FOLDER"


def copy_cluster(data_dir: Path) -> None:
    """Give a data directory, which is made if need be, the cluster of a server that was started there once.

    It has the migrated database of a server, without rows, and the template for the databases of tests.
    """
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711)
    subprocess.run(["cp", "--archive", "--reflink=auto", _made(), data_dir / "pg"], check=True)


def _made() -> Path:
    """Return the folder of the cluster that is copied."""
    shared = Path(os.environ[FOLDER_VARIABLE])
    done = shared / "done"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with ThreadPoolExecutor(1) as thread:  # the caller may be on an event loop
                thread.submit(lambda: asyncio.run(_make(shared))).result()
            done.touch()
    return shared / "pg"


async def _make(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    dsn = await server.start()
    try:
        connection = await connect(dsn)
        await migrate(connection)
        await connection.close()
        await make_template(dsn)
    finally:
        await server.stop()
