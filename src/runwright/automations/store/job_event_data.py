"""SQL that reads the job of an event for filters and prompts."""

from collections.abc import Sequence

import msgspec

from runwright.core.template_context import Json
from runwright.db.pool import PoolConnection


async def fetch_job_event_data(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Return the data of jobs by id, without their input and output."""
    if not ids:
        return {}
    rows = await db.fetch(
        """
        SELECT j.id, json_build_object(
            'job_id', j.id, 'worker_id', j.worker_id, 'worker_name', w.name, 'trigger', j.trigger,
            'triggered_by', j.triggered_by, 'schedule_id', j.schedule_id, 'status', r.status,
            'attempt', r.attempt, 'duration_ms', r.duration_ms, 'error', r.error
        ) AS data
        FROM jobs j JOIN workers w ON w.id = j.worker_id
        LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
        WHERE j.id = ANY ($1)
        """,
        ids,
    )
    return {row["id"]: msgspec.json.decode(row["data"]) for row in rows}
