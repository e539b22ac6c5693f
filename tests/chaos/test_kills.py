"""`kill -9` anywhere, under load: every accepted job ends exactly once, and nothing is left behind.

`CHAOS=long` runs the full matrix (2,000 jobs, 50 kills); the short form is an ordinary test.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import httpx
import pytest
from tests.chaos.cluster import Cluster, adopt_orphans, bury_orphans, descendants

LONG: Final = os.environ.get("CHAOS") == "long"
JOBS: Final = 2000 if LONG else 240
KILLS: Final = 50 if LONG else 9
SECONDS_TO_SETTLE: Final = 180.0
SECONDS_OF_AN_ATTEMPT: Final = 60
"""None needs a second: one that runs into this has got lost in its sandbox."""

SOURCE: Final = """
import time

def handler(input, env):
    print("began", input["n"])
    time.sleep(input["seconds"])
    if input["fails"]:
        raise RuntimeError("as asked")
    return {"n": input["n"]}
"""


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    adopt_orphans()
    before = {process.pid for process in descendants()}
    one = Cluster(seed=int(os.environ.get("CHAOS_SEED", "20261122")))
    try:
        await one.start()
        yield one
    finally:
        statuses = await one.stop()
        left = [p for p in descendants() if p.pid not in before]
        names = [f"{p.pid} {p.name()} {' '.join(p.cmdline())[:200]}" for p in left]
        logs = one.logs()
        one.clean_up()
        adopt_orphans(adopt=False)
        bury_orphans()
        assert names == [], logs
        assert statuses == [0] * len(statuses), logs


async def _insist(cluster: Cluster, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Ask until there is an answer: the key makes it one job, however often it is asked."""
    while True:
        try:
            answer = await cluster.client.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code < 500:
            assert answer.status_code in {200, 201}, answer.text
            data: dict[str, Any] = answer.json()["data"]
            return data
        await asyncio.sleep(0.05)


async def _submit_all(cluster: Cluster, workers: list[str]) -> set[str]:
    accepted: set[str] = set()
    numbers = iter(range(JOBS))

    async def feed() -> None:
        for n in numbers:
            body = {
                "worker_id": workers[n % len(workers)],
                "priority": n % 10 + 1,
                "input": {"n": n, "seconds": (n % 7) * 0.02, "fails": n % 11 == 0},
            }
            accepted.add((await _insist(cluster, "/v1/ava/jobs", body, f"job-{n}"))["id"])

    await asyncio.gather(*(feed() for _ in range(16)))
    return accepted


async def _kill_now_and_then(cluster: Cluster, over: asyncio.Event) -> None:
    for _ in range(KILLS):
        await cluster.kill_something()
        pause = cluster.chance.uniform(0.05, 1.2)
        try:
            await asyncio.wait_for(over.wait(), pause)
        except TimeoutError:
            continue


async def _settle(cluster: Cluster) -> "asyncpg.Connection[asyncpg.Record]":
    """Wait until no job lives any more; says which did, and what the members said, where some stay."""
    living: list[asyncpg.Record] = []
    try:
        async with asyncio.timeout(SECONDS_TO_SETTLE):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    db = await cluster.database()
                    living = await db.fetch("SELECT * FROM job_queue LIMIT 20")
                    if not living:
                        return db
                    await db.close()
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"these never ended: {living}, after the kills {cluster.kills}\n{cluster.logs()}")


@pytest.mark.timeout(900)
async def test_every_accepted_job_ends_exactly_once_whatever_is_killed(cluster: Cluster) -> None:
    workers = []
    for retries in (0, 5):
        body = {"name": f"w{retries}", "runtime": "python", "source_code": SOURCE, "max_retries": retries}
        body["timeout_seconds"] = SECONDS_OF_AN_ATTEMPT
        answer = await cluster.client.post("/v1/ava/workers", json=body)
        assert answer.status_code == 201, answer.text
        workers.append(answer.json()["data"]["id"])

    over = asyncio.Event()
    killing = asyncio.create_task(_kill_now_and_then(cluster, over))
    accepted = await _submit_all(cluster, workers)
    await killing
    db = await _settle(cluster)
    try:
        await _assert_invariants(db, accepted, workers[0], cluster)
    finally:
        await db.close()


async def _assert_invariants(
    db: "asyncpg.Connection[asyncpg.Record]", accepted: set[str], without_retries: str, cluster: Cluster
) -> None:
    assert len(accepted) == JOBS
    results = await db.fetch("SELECT job_id, status, worker_id, error->>'code' AS code FROM job_results")
    assert {row["job_id"] for row in results} == accepted, "a job without an end, or one nobody asked for"
    assert len(results) == len(accepted)
    ends = Counter(
        row["subject_id"] for row in await db.fetch("SELECT subject_id FROM events WHERE type LIKE 'job.%'")
    )
    assert set(ends) == accepted
    assert set(ends.values()) == {1}, "a job with more than one terminal event"
    began_twice = await db.fetch(
        """
        SELECT j.id FROM jobs j JOIN job_log_chunks c ON c.job_id = j.id
        CROSS JOIN LATERAL json_array_elements(c.lines) AS line
        WHERE j.worker_id = $1 AND line->>2 LIKE 'began %'
        GROUP BY j.id HAVING count(*) > 1
        """,
        without_retries,
    )
    assert began_twice == [], "an attempt without retries was run again without consent"
    outcome = Counter((row["status"], row["code"]) for row in results)
    assert outcome["failed", "timeout"] == 0, f"lost in its sandbox, after {cluster.kills}\n{cluster.logs()}"
    tallied = await db.fetch(
        """
        SELECT status, nullif(code, '') AS code, sum(jobs)::integer AS jobs FROM (
            SELECT status, code, jobs FROM job_counts UNION ALL SELECT status, code, jobs FROM job_count_deltas
        ) AS every GROUP BY 1, 2
        """
    )
    counted = {(row["status"], row["code"]): row["jobs"] for row in tallied}
    expected = Counter((s, None if s == "cancelled" else c) for s, c in outcome.elements())
    assert counted == expected, "reports count other ends than there are"
    assert outcome["completed", None] > JOBS // 3, (outcome, cluster.kills)
