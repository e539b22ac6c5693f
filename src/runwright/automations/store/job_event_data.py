"""The SQL that says of a job what a trigger may want to know of its event."""

from collections.abc import Sequence

import msgspec

from runwright.core.template_context import Json
from runwright.db.pool import PoolConnection


async def job_facts(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Return what jobs say of themselves, by their ids; output is left out."""
    rows = (
        await db.fetch(
            """
        SELECT j.id, json_build_object(
            'job_id', j.id, 'worker_id', j.worker_id, 'worker_name', w.name, 'trigger', j.trigger,
            'triggered_by', j.triggered_by, 'schedule_id', j.schedule_id, 'status', r.status,
            'attempt', r.attempt, 'duration_ms', r.duration_ms, 'error', r.error
        ) AS facts
        FROM jobs j JOIN workers w ON w.id = j.worker_id
        LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
        WHERE j.id = ANY ($1)
        """,
            ids,
        )
        if ids
        else []
    )
    return {row["id"]: msgspec.json.decode(row["facts"]) for row in rows}
