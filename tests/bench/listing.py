"""List, filter and get with 1,000,000 jobs stored.

The jobs are inserted by SQL, straight into the tables (src/runwright/db/migrations), since the
figure is about reading: one tenant, 50 workers, a week of history, 5 % failed, 2 % cancelled,
1,000 still queued for next year. Reading goes over HTTP, one request at a time.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg

from tests.bench.connection import Connection
from tests.bench.postgres import postgres_running
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import TENANT, make_worker, serving

WORKERS: Final = 50
DAYS: Final = 7
QUEUED: Final = 1000
WARM_REQUESTS: Final = 10

_FILL: Final = """
CREATE TEMP TABLE bench_jobs AS
SELECT number,
       -- a ULID: 48 bits of milliseconds in Crockford's base 32, then 16 random digits
       'job_' || (SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz',
                                           ((milliseconds >> (45 - 5 * digit)) & 31)::int + 1, 1), ''
                                    ORDER BY digit)
                  FROM generate_series(0, 9) AS digit)
              || substr(md5(number::text), 1, 16) AS id,
       ($2::text[])[number % array_length($2::text[], 1) + 1] AS worker_id,
       to_timestamp(milliseconds / 1000.0) AS created_at
FROM (SELECT number, $3::bigint + number * $4::bigint / $1::bigint AS milliseconds
      FROM generate_series(1, $1::bigint) AS number) AS numbers
"""
_JOBS: Final = """
INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, scheduled_at,
                  max_retries, worker_version, created_at)
SELECT $1, id, worker_id, CASE WHEN number % 10 = 0 THEN 'webhook' ELSE 'manual' END, 5,
       '{"order": 12345, "customer": "someone@example.com"}', 'usr_bench',
       CASE WHEN number % $2::bigint = 0 THEN now() + interval '1 year' END, 0, 1, created_at
FROM bench_jobs
"""
_QUEUE: Final = """
INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, state, priority, run_at, rank, retries_left,
                       worker_version)
SELECT $1, id, worker_id, 'manual', 'waiting', 5, now() + interval '1 year', now() + interval '1 year', 0, 1
FROM bench_jobs WHERE number % $2::bigint = 0
"""
_RESULTS: Final = """
INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version, started_at,
                         completed_at, duration_ms, output, error)
SELECT $1, id, worker_id, status, 1, 1, created_at + interval '2 ms', created_at + interval '12 ms', 10,
       CASE status WHEN 'completed' THEN '{"ok": true}'::json END,
       CASE status WHEN 'completed' THEN NULL
                   WHEN 'failed' THEN '{"code": "handler_error", "message": "boom"}'::json
                   ELSE '{"code": "cancelled", "message": "cancelled"}'::json END
FROM (SELECT *, CASE WHEN number % 20 = 1 THEN 'failed' WHEN number % 50 = 2 THEN 'cancelled'
                     ELSE 'completed' END AS status
      FROM bench_jobs WHERE number % $2::bigint <> 0) AS ended
"""


async def measure_listing(folder: Path, jobs: int, requests: int) -> dict[str, Latency]:
    """Fill a database and read from it in every documented way."""
    async with (
        postgres_running(folder) as dsn,
        serving(folder, "--database-url", dsn) as server,
    ):
        with server.connect() as connection:
            workers = [make_worker(connection) for _ in range(WORKERS)]
            await fill_jobs(dsn, workers, jobs)
            return {
                name: _measure(connection, targets, requests)
                for name, targets in _reads(connection, workers).items()
            }


async def fill_jobs(dsn: str, workers: list[str], jobs: int, queued: int = QUEUED) -> None:
    """Insert jobs of these workers, of which some are queued for next year."""
    started = datetime.now(UTC) - timedelta(days=DAYS)
    connection = await asyncpg.connect(dsn)
    try:
        span = [int(started.timestamp() * 1000), DAYS * 86_400_000]
        await connection.execute(_FILL, jobs, workers, *span)
        for insert in (_JOBS, _QUEUE, _RESULTS):
            await connection.execute(insert, TENANT, jobs // min(queued, jobs))
        # what autovacuum would have done by the time that a server has a million jobs
        for table in ("jobs", "job_queue", "job_results"):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _reads(connection: Connection, workers: list[str]) -> dict[str, Callable[[], Iterator[str]]]:
    """Return, for each way to read, a function that yields the targets of its requests."""
    now = datetime.now(UTC)
    hour, days = (quote((now - age).isoformat()) for age in (timedelta(hours=1), timedelta(days=3)))
    lists = {
        "first page": "per_page=20",
        "100 rows": "per_page=100",
        "page 100": "page=100",
        "status=failed": "filter[status]=failed",
        "status=completed": "filter[status]=completed",
        "status=queued": "filter[status]=queued",
        "status=running": "filter[status]=running",
        "trigger=webhook": "filter[trigger]=webhook",
        "worker_id": f"filter[worker_id]={workers[7]}",
        "worker_id and status": f"filter[worker_id]={workers[1]}&filter[status]=failed",
        "created in the last hour": f"filter[created_after]={hour}",
        "created 3 days ago or before": f"filter[created_before]={days}",
    }
    reads: dict[str, Callable[[], Iterator[str]]] = {
        f"list {name}": _always(f"/v1/ava/jobs?{query}") for name, query in lists.items()
    }
    reads["list by cursor, pages 2 to n"] = lambda: _cursor_pages(connection)
    reads["get one"] = lambda: _single_jobs(connection)
    return reads


def _always(target: str) -> Callable[[], Iterator[str]]:
    def targets() -> Iterator[str]:
        while True:
            yield target

    return targets


def _cursor_pages(connection: Connection) -> Iterator[str]:
    cursor = connection.call("GET", "/v1/ava/jobs?per_page=100")["pagination"]["next_cursor"]
    while True:
        target = f"/v1/ava/jobs?per_page=100&cursor={cursor}"
        yield target
        cursor = connection.call("GET", target)["pagination"]["next_cursor"]


def _single_jobs(connection: Connection) -> Iterator[str]:
    while True:
        for target in islice(_cursor_pages(connection), 5):
            for job in connection.call("GET", target)["data"]:
                yield f"/v1/ava/jobs/{job['id']}"


def _measure(connection: Connection, targets: Callable[[], Iterator[str]], requests: int) -> Latency:
    seconds = []
    for target in islice(targets(), WARM_REQUESTS + requests):
        request = connection.address.render("GET", target)
        began = time.perf_counter()
        status, content = connection.exchange(request)
        seconds.append(time.perf_counter() - began)
        if status != 200:
            raise ChildError(f"GET {target}: {status} {content[:300].decode(errors='replace')}")
    return Latency.of(seconds[WARM_REQUESTS:])
