"""`kill -9` in the middle of a deploy: nothing of it is left, and the same deploy succeeds afterwards."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from tests.chaos.cluster import HEADERS, Member, adopt_orphans, bury_orphans, free_port
from tests.contract.bundles import zip_of
from tests.contract.client import ECHO

BUNDLE = zip_of({"main.py": ECHO, "noise": os.urandom(5_000_000)})
PATH = "/v1/ava/workers"


class Place:
    """One server that is killed and started again, and a look at its tables."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        port = free_port()
        self.member = Member("api", data_dir=self.data_dir, port=port)
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=30, trust_env=False
        )
        self.db: asyncpg.Connection[asyncpg.Record]

    async def start(self) -> None:
        await self.member.start()
        socket = str(self.data_dir / "pg.socket")
        self.db = await asyncpg.connect(host=socket, user="runwright", database="runwright")

    async def deploy(self, worker_id: str, content: Any = BUNDLE) -> httpx.Response:  # noqa: ANN401  as httpx
        return await self.client.post(
            f"{PATH}/{worker_id}/deploy?check=false",
            content=content,
            headers={"content-type": "application/zip"},
        )

    async def worker(self) -> dict[str, Any]:
        body = {"name": "w", "runtime": "python", "source_code": ECHO}
        worker: dict[str, Any] = (await self.client.post(PATH, json=body)).json()["data"]
        return worker

    async def until(self, condition: str) -> None:
        """Wait until a query says that it is so."""
        async with asyncio.timeout(60):
            while not await self.db.fetchval(condition):  # noqa: ASYNC110  nobody signals what a table holds
                await asyncio.sleep(0.01)

    async def nothing_is_left(self, worker: dict[str, Any]) -> None:
        await self.until("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")
        assert await self.db.fetchval("SELECT count(*) FROM blobs") == 0
        assert await self.db.fetchval("SELECT count(*) FROM blob_chunks") == 0
        await self.member.start()
        assert (await self.client.get(f"{PATH}/{worker['id']}")).json()["data"] == worker
        versions = (await self.client.get(f"{PATH}/{worker['id']}/versions")).json()["data"]
        assert [version["version"] for version in versions] == [1]
        assert list((self.data_dir / "cache" / "spool").iterdir()) == []
        made = await self.deploy(worker["id"])
        assert (made.status_code, made.json()["data"]["version"]) == (201, 2)


@pytest.fixture
async def place(folder: Path) -> AsyncIterator[Place]:
    adopt_orphans()
    one = Place(folder)
    try:
        await one.start()
        yield one
        await one.db.close()
    finally:
        await one.client.aclose()
        await one.member.stop()
        adopt_orphans(adopt=False)
        bury_orphans()


async def test_a_kill_after_the_files_and_before_the_version_is_stored(place: Place) -> None:
    worker = await place.worker()
    async with place.db.transaction():
        await place.db.execute("LOCK TABLE worker_versions IN SHARE MODE")  # reads pass, the insert waits
        deploying = asyncio.create_task(place.deploy(worker["id"]))
        await place.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        await place.member.kill()
        with contextlib.suppress(httpx.TransportError):
            await deploying
    await place.nothing_is_left(worker)


async def test_a_kill_while_the_bundle_is_being_sent(place: Place) -> None:
    worker = await place.worker()
    spool = place.data_dir / "cache" / "spool"
    killed = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield BUNDLE[: len(BUNDLE) // 2]
        while not spool.is_dir():  # noqa: ASYNC110  only the server knows when
            await asyncio.sleep(0.01)
        await place.member.kill()
        killed.set()
        yield BUNDLE[len(BUNDLE) // 2 :]

    with contextlib.suppress(httpx.TransportError):
        await place.deploy(worker["id"], half())
    assert killed.is_set()
    await place.nothing_is_left(worker)
