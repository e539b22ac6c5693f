"""How long a second tenant's jobs take, alone and while a bulk operation acts on 100,000 jobs of another.

The jobs are inserted by SQL, straight into the tables. First, failed ones are retried, whose worker has a runtime
that no executor offers: what is measured is the operation and not its jobs. Then, waiting ones are cancelled.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from tests.bench.connection import Address, Connection
from tests.bench.latency import WARM_JOBS, check_completed
from tests.bench.process import ChildError
from tests.bench.result import Bulk, Latency
from tests.bench.server import TENANT, make_worker, run_jobs, serving

ALONE: Final = "alone"
MOST_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 0.5
_JOBS: Final = """
WITH new AS (SELECT 'job_' || $2 || lpad(n::text, 25, '0') AS id FROM generate_series(1, $4::integer) AS s (n)),
made AS (
    INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries,
                      worker_version, created_at)
    SELECT $1, id, $3, 'manual', 5, '{"order": 12345, "customer": "someone@example.com"}', 'usr', 0, 1, now()
    FROM new
)
"""
_FAILED: Final = f"""{_JOBS}
INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version, completed_at, error)
SELECT $1, id, $3, 'failed', 1, 1, now(), '{{"code": "timeout", "message": "late"}}' FROM new
"""
_WAITING: Final = f"""{_JOBS}
INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, state, priority, run_at, rank, retries_left,
                       worker_version)
SELECT $1, id, $3, 'manual', 'waiting', 5, now() + interval '1 year', now() + interval '1 year', 0, 1 FROM new
"""


async def measure_bulk(folder: Path, jobs: int, requests: int) -> Bulk:
    """Measure all of it on one fresh server; `requests` at least, and for as long as an operation takes."""
    async with serving(folder) as server:
        with server.connect() as owner, Connection(_other_tenant(server.address)) as other:
            filters = {"retry": make_worker(owner), "cancel": make_worker(owner)}
            await _fill(server.data_dir, filters, jobs)
            worker = make_worker(other)
            run_jobs(other, worker, WARM_JOBS)
            waits = {ALONE: Latency.of(list(_latencies(other, worker, requests)))}
            seconds = {}
            for action, acted_on in filters.items():
                body, began = {"action": action, "filter": {"worker_id": acted_on}}, time.monotonic()
                waits[f"beside {action}"] = _beside(owner, other, worker, body, jobs)
                seconds[action] = time.monotonic() - began
    return Bulk(jobs=jobs, waits=waits, seconds=seconds)


def _other_tenant(address: Address) -> Address:
    return msgspec.structs.replace(address, headers={**address.headers, "x-tenant-id": "ten_other"})


async def _fill(data_dir: Path, workers: dict[str, str], jobs: int) -> None:
    db = await asyncpg.connect(host=str(data_dir / "pg.socket"), user="runwright", database="runwright")
    try:
        await db.execute("UPDATE workers SET runtime = 'none' WHERE id = $1", workers["retry"])
        await db.execute(_FAILED, TENANT, "0", workers["retry"], jobs)
        await db.execute(_WAITING, TENANT, "1", workers["cancel"], jobs)
        for table in ("jobs", "job_queue", "job_results"):
            await db.execute(f"VACUUM (ANALYZE) {table}")
    finally:
        await db.close()


def _beside(owner: Connection, other: Connection, worker: str, body: dict[str, Any], jobs: int) -> Latency:
    """Start an operation, and measure until it has ended; its progress must never stand still."""
    operation = owner.call("POST", "/v1/ava/jobs/bulk", body)["data"]
    if operation["matched"] != jobs:
        raise ChildError(f"the operation matches {operation['matched']} jobs")
    waits, looked, deadline = [], time.monotonic(), time.monotonic() + MOST_SECONDS
    for wait in _latencies(other, worker):
        waits.append(wait)
        if time.monotonic() - looked < LOOK_SECONDS:
            continue
        now, looked = owner.call("GET", f"/v1/ava/jobs/bulk/{operation['id']}")["data"], time.monotonic()
        if now["status"] == "completed":
            break
        if now["done"] <= operation["done"] or looked > deadline:
            raise ChildError(f"no progress: {now}")
        operation = now
    return Latency.of(waits)


def _latencies(connection: Connection, worker: str, requests: int | None = None) -> Iterator[float]:
    body = {"worker_id": worker, "input": {"n": 1}}
    request = connection.address.render("POST", "/v1/ava/jobs?wait=10", body)
    made = 0
    while requests is None or made < requests:
        began = time.perf_counter()
        status, content = connection.exchange(request)
        yield time.perf_counter() - began
        check_completed(status, content)
        made += 1
