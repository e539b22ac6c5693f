"""What a million jobs take in the database: rows are loaded by SQL into an embedded server, and its tables measured.

`python -m tests.bench.capacity` prints the rows of the table in docs/capacity.md. The rows are as a job with an input
of 200 bytes, an output of 100 and a log of three lines leaves them; jobs of 100 tenants in the order of their ids.
"""

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Final

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrator import migrate
from runwright.db.pool import Connection, connect

_MILLION: Final = 1_000_000
_BATCH: Final = 50_000
_ID: Final = "'job_' || substr(lpad(to_hex(n), 12, '0') || md5(n::text), 1, 26)"
_SOURCE: Final = f"""
SELECT n, 'ten_' || (n % 100) AS tenant_id, {_ID} AS id, 'wkr_' || md5((n % 500)::text) AS worker_id,
       json_build_object('order', n, 'text', repeat('x', 180)) AS input,
       json_build_object('total', n, 'note', repeat('y', 80)) AS output,
       now() - make_interval(secs => {_MILLION} - n) AS at
FROM generate_series($1::integer, $2::integer) AS n
"""
_JOBS: Final = f"""
INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries, worker_version,
                  created_at)
SELECT tenant_id, id, worker_id, 'manual', 5, input, 'usr_' || tenant_id, 0, 1, at FROM ({_SOURCE}) AS s
"""
_ENDED: Final = {
    "job_results": f"""
INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, executor_id, worker_version, started_at,
                         completed_at, duration_ms, output)
SELECT tenant_id, id, worker_id, 'completed', 1, 'exe_0123456789abcdefghjkmnpqrs', 1, at, at, 40, output
FROM ({_SOURCE}) AS s""",
    "job_log_chunks": f"""
INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)
SELECT id, 1, 3, 1, (SELECT json_agg(json_build_object('seq', l, 'ts', at, 'level', 'info', 'msg',
                                                       'a line of the log of a job ' || n))
                     FROM generate_series(1, 3) AS l)
FROM ({_SOURCE}) AS s""",
    "events": f"""
INSERT INTO events (tenant_id, type, subject_id, created_at, data)
SELECT tenant_id, 'ava.job.completed', id, at, json_build_object('worker_id', worker_id, 'duration_ms', 40)
FROM ({_SOURCE}) AS s""",
    "idempotency_keys": f"""
INSERT INTO idempotency_keys (tenant_id, key, body_digest, job_ids, created_at)
SELECT tenant_id, md5(n::text), decode(md5(id) || md5(tenant_id), 'hex'), ARRAY[id], at FROM ({_SOURCE}) AS s""",
}
_QUEUED: Final = f"""
INSERT INTO job_queue (tenant_id, job_id, worker_id, state, priority, run_at, rank, retries_left, worker_version,
                       trigger)
SELECT tenant_id, id, worker_id, 'ready', 5, at, at, 0, 1, 'manual' FROM ({_SOURCE}) AS s
"""


async def measure(connection: Connection, jobs: int) -> dict[str, tuple[float, float]]:
    """Return, by table, bytes on disk and in the write-ahead log for each job."""
    statements = {"jobs": _JOBS, "job_queue": _QUEUED, **_ENDED}
    await connection.execute("SET session_replication_role = replica")  # there are no workers to refer to
    return {table: await _load(connection, table, text, jobs) for table, text in statements.items()}


async def _load(connection: Connection, table: str, statement: str, jobs: int) -> tuple[float, float]:
    before = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    for first in range(1, jobs + 1, _BATCH):
        await connection.execute(statement, first, min(first + _BATCH - 1, jobs))
    wal = await connection.fetchval(
        "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::bigint", before
    )
    size = await connection.fetchval("SELECT pg_total_relation_size($1::text::regclass)", table)
    return size / jobs, wal / jobs


async def measured(jobs: int) -> dict[str, tuple[float, float]]:
    """Return what `measure` does, of a server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-capacity-", dir="/tmp"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder)
    try:
        connection = await connect(await server.start())
        await migrate(connection)
        found = await measure(connection, jobs)
        await connection.close()
    finally:
        await server.stop()
        shutil.rmtree(folder)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500_000)
    print("| table | MB per million rows | MB of write-ahead log |\n|---|---|---|")
    for table, (size, wal) in asyncio.run(measured(parser.parse_args().jobs)).items():
        print(f"| `{table}` | {size:,.0f} | {wal:,.0f} |")


if __name__ == "__main__":
    main()
