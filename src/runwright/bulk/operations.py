"""What bulk operations and backfills have in common as rows: long requests, carried out in bounded steps.

Columns: `status` (`running`, then `completed` or `cancelled`), `due_at` (when the next step may be taken),
`error` and `completed_at`.
"""

from datetime import datetime
from typing import Literal

from runwright.db.pool import Database, PoolConnection

OperationTable = Literal["bulk_operations", "schedule_backfills"]


async def count_running_operations(db: PoolConnection, table: OperationTable, tenant_id: str) -> int:
    """Return how many operations of a tenant are running."""
    count: int = await db.fetchval(
        f"SELECT count(*) FROM {table} WHERE tenant_id = $1 AND status = 'running'", tenant_id
    )
    return count


async def defer_operation(
    db: Database, table: OperationTable, operation_id: str, reason: str, *, until: datetime
) -> None:
    """Take no step of an operation before a time, and record what it waits for."""
    await db.execute(
        f"UPDATE {table} SET due_at = $2, error = $3 WHERE id = $1 AND status = 'running'",
        operation_id,
        until,
        reason,
    )


async def prune_operations(db: Database, table: OperationTable, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` operations that ended before a time; return how many were deleted."""
    rows = await db.fetch(
        f"""
        DELETE FROM {table} WHERE id IN (
            SELECT id FROM {table} WHERE completed_at < $1 ORDER BY id LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        before,
        limit,
    )
    return len(rows)
