"""SQL that reads and prunes runs, and SQL of the tasks that they create."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.automations.filters import RunFilter
from runwright.automations.model import AutomationKind, Run, RunAttempt, RunStatus, Task, TaskSpec, TaskStatus
from runwright.db.pool import Database, PoolConnection

RUN_COLUMNS: Final = ", ".join(f"r.{name}" for name in Run.__struct_fields__)


def run_from_row(row: Record) -> Run:
    """Return the run of a row with `RUN_COLUMNS`; further columns are ignored."""
    values = {name: row[name] for name in Run.__struct_fields__}
    values["kind"] = AutomationKind(row["kind"])
    values["status"] = RunStatus(row["status"])
    values["warnings"] = tuple(row["warnings"] or ())
    return Run(**values)


async def fetch_run(db: Database | PoolConnection, *, tenant_id: str, run_id: str) -> Run | None:
    """Return one run of the tenant."""
    row = await db.fetchrow(
        f"SELECT {RUN_COLUMNS} FROM automation_runs r WHERE r.tenant_id = $1 AND r.id = $2", tenant_id, run_id
    )
    return None if row is None else run_from_row(row)


async def fetch_runs_by_id(db: PoolConnection, *, ids: Sequence[str]) -> dict[str, Run]:
    """Return these runs of any tenant by id; unknown ids are ignored."""
    rows = await db.fetch(f"SELECT {RUN_COLUMNS} FROM automation_runs r WHERE r.id = ANY ($1)", ids)
    return {row["id"]: run_from_row(row) for row in rows}


async def list_runs(
    db: Database, *, tenant_id: str, which: RunFilter, before: tuple[datetime, str] | None, limit: int
) -> list[Run]:
    """Return up to `limit` runs, newest first, those before a (time, id)."""
    params: list[object] = [tenant_id, limit]
    conditions = ["r.tenant_id = $1"]

    def add(condition: str, *values: object) -> None:
        places = [f"${len(params) + 1 + nth}" for nth in range(len(values))]
        params.extend(values)
        conditions.append(condition.format(*places))

    for automation_id in which.automation_ids:
        add("r.automation_id = {}", automation_id)
    if which.status is not None:
        add("r.status = {}", which.status)
    if which.since is not None:
        add("r.started_at >= {}", which.since)
    if which.until is not None:
        add("r.started_at <= {}", which.until)
    if before is not None:
        add("(r.started_at, r.id) < ({}, {})", *before)
    rows = await db.fetch(
        f"SELECT {RUN_COLUMNS} FROM automation_runs r WHERE {' AND '.join(conditions)}"
        " ORDER BY r.started_at DESC, r.id DESC LIMIT $2",
        *params,
    )
    return [run_from_row(row) for row in rows]


async def list_attempts(db: Database, *, run: Run) -> list[RunAttempt]:
    """Return the attempts of a run in order; the last one has the state of the run."""
    rows = await db.fetch(
        """
        SELECT attempt, status, session_id, started_at, ended_at, error
        FROM automation_run_attempts WHERE run_id = $1
        UNION ALL
        SELECT attempt, status, session_id, coalesce(attempt_at, started_at), ended_at, error
        FROM automation_runs WHERE id = $1
        ORDER BY 1
        """,
        run.id,
    )
    return [
        RunAttempt(
            attempt=row["attempt"],
            status=RunStatus(row["status"]),
            session_id=row["session_id"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            error=row["error"],
        )
        for row in rows
    ]


async def prune_runs(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` runs that ended before then, with their attempts; return their number."""
    rows = await db.fetch(
        """
        DELETE FROM automation_runs WHERE id IN (
            SELECT id FROM automation_runs WHERE ended_at < $1
            ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        before,
        limit,
    )
    return len(rows)


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
