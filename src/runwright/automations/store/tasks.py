"""SQL of tasks."""

from datetime import datetime

import msgspec
from asyncpg import Record

from runwright.automations.model import Task, TaskSpec, TaskStatus
from runwright.db.pool import Database, PoolConnection


def _task(row: Record) -> Task:
    values = dict(row)
    values["status"] = TaskStatus(row["status"])
    values["spec"] = msgspec.json.decode(row["spec"], type=TaskSpec)
    return Task(**values)


async def insert_task(db: PoolConnection, task: Task) -> None:
    """Insert a task, unless its run has one already."""
    await db.execute(
        """
        INSERT INTO automation_tasks (id, tenant_id, run_id, task_run_id, automation_id, scope, workspace_id,
                                      spec, status, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING
        """,
        *(task.id, task.tenant_id, task.run_id, task.task_run_id, task.automation_id, task.scope),
        *(task.workspace_id, msgspec.json.encode(task.spec), task.status, task.created_at, task.updated_at),
    )


async def fetch_task(
    db: Database | PoolConnection, *, tenant_id: str, task_id: str, lock: bool = False
) -> Task | None:
    """Return one task of the tenant."""
    row = await db.fetchrow(
        "SELECT * FROM automation_tasks WHERE tenant_id = $1 AND id = $2" + (" FOR UPDATE" if lock else ""),
        tenant_id,
        task_id,
    )
    return None if row is None else _task(row)


async def update_task(db: PoolConnection, task: Task) -> None:
    """Update a task that the transaction has locked."""
    await db.execute(
        "UPDATE automation_tasks SET spec = $2, status = $3, updated_at = $4 WHERE id = $1",
        *(task.id, msgspec.json.encode(task.spec), task.status, task.updated_at),
    )


async def list_tasks(
    db: Database,
    *,
    tenant_id: str,
    status: TaskStatus | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[Task]:
    """Return up to `limit` tasks, newest first, those before a (time, id)."""
    at, task_id = before or (None, None)
    rows = await db.fetch(
        """
        SELECT * FROM automation_tasks
        WHERE tenant_id = $1 AND ($2::text IS NULL OR status = $2)
          AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::text))
        ORDER BY created_at DESC, id DESC LIMIT $5
        """,
        *(tenant_id, status, at, task_id, limit),
    )
    return [_task(row) for row in rows]
