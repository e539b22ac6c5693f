"""The progress of running jobs: one row for each job that reports it, the last report."""

from collections.abc import Sequence
from typing import Final

from runwright.db.pool import Database
from runwright.db.rows import columns_of
from runwright.jobs.model import ProgressReport

_COLUMNS: Final = len(ProgressReport.__struct_fields__)


async def write_progress(db: Database, *, executor_id: str, reports: Sequence[ProgressReport]) -> None:
    """Store what attempts report that this executor still holds; drop what others do.

    Of several reports of one job the last one counts. Idempotent.
    """
    latest = {report.job_id: report for report in reports}
    await db.execute(
        """
        INSERT INTO job_progress (tenant_id, job_id, attempt, fraction, message, updated_at)
        SELECT p.tenant_id, p.job_id, p.attempt, p.fraction, p.message, p.at
        FROM unnest($2::text[], $3::text[], $4::integer[], $5::smallint[], $6::double precision[], $7::text[],
                    $8::timestamptz[])
             AS p (tenant_id, job_id, fence, attempt, fraction, message, at)
        JOIN job_queue q ON q.tenant_id = p.tenant_id AND q.job_id = p.job_id AND q.fence = p.fence
             AND q.executor_id = $1
        ON CONFLICT (tenant_id, job_id) DO UPDATE
        SET attempt = excluded.attempt, fraction = excluded.fraction, message = excluded.message,
            updated_at = excluded.updated_at
        """,
        executor_id,
        *columns_of(list(latest.values()), _COLUMNS),
    )
