"""SQL that reads and prunes runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.automations.model import AutomationKind, Run, RunAttempt, RunFilter, RunStatus
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
