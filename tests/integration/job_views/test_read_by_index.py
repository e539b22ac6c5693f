"""Reading right after many jobs came, before anybody has counted the rows of the tables."""

import pytest

from runwright.core.job_state import JobStatus
from runwright.core.paging import PageRequest
from runwright.db.pool import Pool, open_pool
from runwright.job_views.model import JobFilter
from tests.integration.jobs.world import World

_MANY = """
WITH new AS (SELECT 'job_z' || lpad(n::text, 10, '0') AS id FROM generate_series(1, 5000) n), made AS (
    INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries,
                      worker_version, created_at)
    SELECT 'ten_a', id, $1, 'manual', 5, '{}', 'usr', 0, 1, now() FROM new
)
INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, priority, run_at, rank, retries_left, worker_version)
SELECT 'ten_a', id, $1, 'manual', 5, now(), now(), 0, 1 FROM new
"""
_READ_WHOLE = """
SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('jobs', 'job_queue', 'job_results')
"""


@pytest.mark.parametrize(
    "which", [JobFilter(), JobFilter(statuses=frozenset({JobStatus.QUEUED}))], ids=["all", "queued"]
)
async def test_a_plan_of_small_tables_does_not_read_grown_ones_whole(
    database_url: str, which: JobFilter
) -> None:
    async with await open_pool(database_url, max_size=1, by_index=True) as pool:
        world = World(pool)
        worker = await world.worker()
        await world.job(worker)
        await pool.execute("ANALYZE jobs, job_queue, job_results")
        for _ in range(12):  # from the sixth time on a plan is kept
            await world.job_views.list("ten_a", which, PageRequest())
        await pool.execute(_MANY, worker.id)
        before = await _rows_read_whole(pool)
        listing = await world.job_views.list("ten_a", which, PageRequest())
        assert listing.total == 5001
        assert await _rows_read_whole(pool) == before


async def _rows_read_whole(pool: Pool) -> int:
    await pool.execute("SELECT pg_stat_force_next_flush()")
    return int(await pool.fetchval(_READ_WHOLE))
