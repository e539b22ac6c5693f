"""Deleting history by age, a bounded number of rows at a time.

Ids grow with time, so old rows are at one end of the keys. Only ended jobs are deleted; a queued
job is kept, however old it is.
"""

from datetime import datetime
from typing import Final

from runwright.core.ids import floor_id
from runwright.db.pool import Database

_PRUNE_JOBS: Final = """
WITH gone AS (
    -- up to $3 of the oldest jobs that ended before $2
    SELECT tenant_id, job_id FROM job_results
    WHERE job_id < $1 AND completed_at < $2 ORDER BY job_id LIMIT $3 FOR UPDATE SKIP LOCKED
), results AS (
    -- their results
    DELETE FROM job_results r USING gone g WHERE r.job_id = g.job_id
), attempts AS (
    -- their attempts
    DELETE FROM job_attempts a USING gone g WHERE a.job_id = g.job_id
), chunks AS (
    -- their log lines
    DELETE FROM job_log_chunks c USING gone g WHERE c.job_id = g.job_id
), ancestry AS (
    -- what led to them
    DELETE FROM job_ancestry a USING gone g WHERE a.job_id = g.job_id
), progress AS (
    -- what they reported
    DELETE FROM job_progress p USING gone g WHERE p.tenant_id = g.tenant_id AND p.job_id = g.job_id
), trees AS (
    -- how many jobs they led to
    DELETE FROM job_trees t USING gone g WHERE t.tenant_id = g.tenant_id AND t.root_job_id = g.job_id
), callbacks AS (
    -- the completion callbacks that wait for them
    DELETE FROM completion_callbacks c USING gone g WHERE c.target_id = g.job_id
), retries AS (
    -- the records of manual retries of them
    DELETE FROM job_retries x USING gone g WHERE x.tenant_id = g.tenant_id AND x.job_id = g.job_id
), jobs AS (
    -- what was submitted
    DELETE FROM jobs j USING gone g WHERE j.tenant_id = g.tenant_id AND j.id = g.job_id
)
SELECT count(*) AS deleted FROM gone
"""


async def prune_jobs(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` jobs that ended before a time, with attempts and logs; return how many."""
    deleted: int = await db.fetchval(_PRUNE_JOBS, floor_id("job", before), before, limit)
    return deleted


async def prune_logs(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` chunks of log lines of jobs that ended before a time; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM job_log_chunks WHERE (job_id, first_seq) IN (
            SELECT c.job_id, c.first_seq FROM job_log_chunks c
            JOIN job_results r ON r.job_id = c.job_id AND r.completed_at < $2
            WHERE c.job_id < $1 ORDER BY c.job_id, c.first_seq LIMIT $3 FOR UPDATE OF c SKIP LOCKED
        ) RETURNING 1
        """,
        floor_id("job", before),
        before,
        limit,
    )
    return len(rows)
