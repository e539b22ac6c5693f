"""A restart of somebody else's PostgreSQL loses no accepted job and needs no restart of ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.chaos.cluster import HEADERS, Member, free_port

from runwright.db.embedded import EmbeddedPostgres

SOURCE = "import time\ndef handler(input, env):\n    time.sleep(0.02)\n    return input['n']\n"
JOBS = 200


class World:
    """A server of ours on a database that it did not start."""

    def __init__(self, postgres: EmbeddedPostgres, client: httpx.AsyncClient) -> None:
        self.postgres = postgres
        self.client = client

    async def submit(self, worker_id: str, n: int) -> str:
        """Ask until the job is accepted; the key makes it one job."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.client.post(
                    "/v1/ava/jobs",
                    json={"worker_id": worker_id, "input": {"n": n}},
                    headers={"Idempotency-Key": f"job-{n}"},
                )
                if answer.status_code in {200, 201}:
                    return str(answer.json()["data"]["id"])
                assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.05)


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    postgres = EmbeddedPostgres(folder / "theirs")
    dsn = await postgres.start()
    port = free_port()
    member = Member("api,executor", data_dir=folder / "ours", port=port, database_url=dsn)
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=60)
    try:
        await member.start()
        yield World(postgres, client)
    finally:
        await client.aclose()
        assert await member.stop() == 0
        await postgres.stop()


async def test_a_restart_of_the_database_under_load_loses_nothing(world: World) -> None:
    body = {"name": "w", "runtime": "python", "source_code": SOURCE, "max_retries": 5}
    worker_id = (await world.client.post("/v1/ava/workers", json=body)).json()["data"]["id"]
    half_way = asyncio.Event()
    accepted: list[str] = []

    async def feed(first: int) -> None:
        for n in range(first, JOBS, 8):
            accepted.append(await world.submit(worker_id, n))
            if len(accepted) >= JOBS // 2:
                half_way.set()

    feeding = asyncio.gather(*(feed(first) for first in range(8)))
    await half_way.wait()
    await world.postgres.stop()
    await world.postgres.start()
    await feeding
    assert len(set(accepted)) == JOBS
    async with asyncio.timeout(120):
        for job_id in accepted:
            while (await _status(world, job_id)) in {"queued", "running"}:  # noqa: ASYNC110  nobody tells us
                await asyncio.sleep(0.1)
    statuses = [await _status(world, job_id) for job_id in accepted]
    assert statuses == ["completed"] * JOBS


async def _status(world: World, job_id: str) -> str:
    return str((await world.client.get(f"/v1/ava/jobs/{job_id}")).json()["data"]["status"])
