"""The events of jobs, as parts of the statements that make them true.

An ending is always appended: the log has exactly one per job. That a job was queued or that an
attempt started is appended only where somebody wants to know.
"""

from typing import Final

from runwright.events.event_sql import append_sql, has_subscribers_sql

JOB_ENDED: Final = append_sql("SELECT tenant_id, 'job.' || status, job_id, ended_at, NULL::json FROM ended")
"""Part of a statement; its `ended` has the columns of job_queue, and status and ended_at."""

JOB_STARTED: Final = append_sql(
    f"""SELECT tenant_id, 'job.started', job_id, started_at,
           json_build_object('attempt', attempt, 'worker_version', version)
    FROM claimed WHERE {has_subscribers_sql("claimed.tenant_id", "job.started")}"""
)
"""Part of a statement; its `claimed` has tenant_id, job_id, started_at, attempt and version."""

JOB_QUEUED: Final = append_sql(
    f"""SELECT inserted.tenant_id, 'job.queued', inserted.id, inserted.created_at,
           json_build_object('attempt', 1, 'worker_version', inserted.worker_version)
    FROM inserted WHERE {has_subscribers_sql("inserted.tenant_id", "job.queued")}
    UNION ALL
    SELECT queued.tenant_id, 'job.started', queued.job_id, queued.started_at,
           json_build_object('attempt', 1, 'worker_version', queued.worker_version)
    FROM queued WHERE queued.started_at IS NOT NULL
      AND {has_subscribers_sql("queued.tenant_id", "job.started")}"""
)
"""Part of a statement: `inserted` are the rows of jobs that are new, `queued` those of job_queue."""
