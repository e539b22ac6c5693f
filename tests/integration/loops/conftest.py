"""A registry of packages for the tests of a file, and a cluster of builders for each."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runwright.db.pool import Pool as Database
from runwright.runtimes.host import Host
from tests.integration.loops.build_cluster import BuildCluster
from tests.integration.loops.registry import LocalRegistry, local_registry


@pytest.fixture(scope="module")
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as registry:
        yield registry


@pytest.fixture
async def cluster(database: Database, host: Host, registry: LocalRegistry) -> AsyncIterator[BuildCluster]:
    registry.reset()
    with tempfile.TemporaryDirectory(prefix="runwright-builds-") as folder:
        Path(folder).chmod(0o711)
        cluster = BuildCluster(database, host, registry, Path(folder))
        try:
            yield cluster
        finally:
            registry.gate.set()
            await cluster.close()
            # A stop does not wait for threads that unpack; the folder can go only after them.
            await asyncio.get_running_loop().shutdown_default_executor()
