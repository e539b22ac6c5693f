"""The SQL of bulk operations, and of what their rows share with those of backfills.

An operation visits its jobs from the newest to the oldest. Each step acts on a bounded number of
them and moves `next_id` past them in one transaction, so that an operation that was interrupted
continues where it was, and no job is visited twice.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec
from asyncpg import Record

from runwright.bulk.model import BulkOperation
from runwright.core.ids import OperationId
from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.job_views.model import JobFilter
from runwright.job_views.store.selection import SEARCH_WINDOW, select_jobs
from runwright.jobs.store.cancel import CANCEL_QUEUED
from runwright.jobs.store.finish import CANCELLED_ERROR
from runwright.jobs.store.submit import Submission

MOST_COUNTED: Final = 1_000_000
"""How many jobs are searched to count those that an operation will act on; it acts on all."""

_START_LOCK: Final = 0x62756C6B
"""The first key of the advisory locks on tenants that start an operation."""

TABLE: Final = "bulk_operations"
_COLUMNS: Final = column_list(BulkOperation)
_CANCEL_MANY: Final = CANCEL_QUEUED.format(which="q.tenant_id = $3 AND q.job_id = ANY ($4::text[])")
_LISTED: Final = Rows(columns=_COLUMNS, table="bulk_operations")


OperationTable = Literal["bulk_operations", "schedule_backfills"]
"""Tables of long operations: `status`, `due_at` (when the next step is due), `error` and `completed_at`."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    error: str | None = None


async def count_matching(db: Database | PoolConnection, tenant_id: str, which: JobFilter) -> int:
    """Return how many jobs a filter selects, of the newest MOST_COUNTED that its indexes leave."""
    selection = select_jobs(tenant_id, which)
    rows = selection.window(MOST_COUNTED) if selection.searches else selection.all_rows()
    found = "WHERE found" if selection.searches else ""
    sql = f"SELECT count(*) FROM ({rows}) AS matching {found}"
    count: int = await db.fetchval(sql, *selection.params)
    return count


async def insert_operation(db: PoolConnection, operation: BulkOperation, *, next_id: str) -> None:
    """Insert an operation that visits the jobs with ids below `next_id`."""
    row = row_of(operation, without=("selection",))
    await insert_row(
        db,
        "bulk_operations",
        row | {"selection": msgspec.json.encode(operation.selection), "next_id": next_id},
    )


async def lock_starts(db: PoolConnection, tenant_id: str) -> None:
    """Wait for the other transactions that start an operation of this tenant, until this one ends."""
    await db.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _START_LOCK, tenant_id)


async def fetch_operation(
    db: Database | PoolConnection, tenant_id: str, operation_id: OperationId
) -> BulkOperation | None:
    """Return one operation."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM bulk_operations WHERE tenant_id = $1 AND id = $2", tenant_id, operation_id
    )
    return None if row is None else _operation(row)


async def list_operations(db: Database, tenant_id: str, page: PageRequest) -> Listing[BulkOperation]:
    """Return a page of a tenant's operations, newest first."""
    return (await fetch_page(db, _LISTED, Conditions("tenant_id = $1", tenant_id), page)).map(_operation)


async def cancel_operation(
    db: PoolConnection, tenant_id: str, operation_id: OperationId, *, now: datetime
) -> bool:
    """Cancel an operation; return False where it is not running."""
    cancelled = await db.fetchval(
        """
        UPDATE bulk_operations SET status = 'cancelled', error = NULL, due_at = $3, completed_at = $3
        WHERE tenant_id = $1 AND id = $2 AND status = 'running' RETURNING true
        """,
        tenant_id,
        operation_id,
        now,
    )
    return cancelled is not None


class LockedOperation(msgspec.Struct, frozen=True):
    """A locked operation as it is stored."""

    id: str
    next_id: str
    row: Record

    def read(self) -> BulkOperation:
        """Return the operation; msgspec.MsgspecError where this release cannot read it."""
        return _operation(self.row)


async def lock_next_operation(
    db: PoolConnection, *, now: datetime, only: str | None = None
) -> LockedOperation | None:
    """Lock the running operation that is due and whose last step is longest ago, or this one."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS}, next_id FROM bulk_operations
        WHERE status = 'running' AND due_at <= $1 AND ($2::text IS NULL OR id = $2)
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        """,
        now,
        only,
    )
    return None if row is None else LockedOperation(row["id"], row["next_id"], row)


class NextJobs(msgspec.Struct, frozen=True):
    """The jobs of a step, newest first; the next one begins below `next_id`, unless this one is the last."""

    job_ids: Sequence[str]
    next_id: str
    last: bool


async def next_jobs(db: PoolConnection, operation: BulkOperation, *, below: str, limit: int) -> NextJobs:
    """Return the next jobs that the operation visits; at most SEARCH_WINDOW are searched for them."""
    selection = select_jobs(operation.tenant_id, operation.selection)
    params = [*selection.params, below]
    bound = f"{{id}} < ${len(params)}"
    rows = selection.window(SEARCH_WINDOW if selection.searches else limit, bound=bound)
    sql = f"SELECT id FROM ({rows}) AS candidates WHERE found ORDER BY id DESC LIMIT {limit}"
    found = [row["id"] for row in await db.fetch(sql, *params)]
    if len(found) == limit or not selection.searches:
        return NextJobs(found, min(found, default=below), len(found) < limit)
    searched = await db.fetchrow(
        f"SELECT count(*) AS read, min(id) AS oldest FROM ({rows}) AS candidates", *params
    )
    assert searched is not None  # noqa: S101  it counts
    return NextJobs(found, searched["oldest"] or below, searched["read"] < SEARCH_WINDOW)


async def save_progress(
    db: PoolConnection,
    operation: BulkOperation,
    progress: Progress,
    *,
    next_id: str,
    over: bool,
    now: datetime,
) -> None:
    """Add what a step did; `over`: there are no more jobs, so that what was not visited counts as skipped."""
    await db.execute(
        """
        UPDATE bulk_operations
        SET done = done + $2, failed = failed + $3, next_id = $6, due_at = $8,
            skipped = CASE WHEN $7 THEN greatest(matched - done - failed - $2 - $3, 0) ELSE skipped + $4 END,
            matched = greatest(matched, done + failed + skipped + $2 + $3 + $4),
            error = coalesce($5, CASE WHEN failed > 0 THEN error END),
            status = CASE WHEN $7 THEN 'completed' ELSE status END,
            completed_at = CASE WHEN $7 THEN $8::timestamptz END
        WHERE id = $1
        """,
        operation.id,
        progress.done,
        progress.failed,
        progress.skipped,
        progress.error,
        next_id,
        over,
        now,
    )


class CancelledJobs(msgspec.Struct, frozen=True):
    """What cancelling many jobs did. Those that are in neither list had ended."""

    cancelled: list[str]
    """Jobs that were queued."""
    awaited: list[str]
    """Those of them for whose end a request waits."""
    requested: list[str]
    """Jobs that are running."""
    executor_ids: frozenset[str]
    """The executors that run them."""


async def cancel_jobs(
    db: PoolConnection, *, tenant_id: str, job_ids: Sequence[str], now: datetime
) -> CancelledJobs:
    """Cancel queued jobs, and request the cancel of running ones. Called inside a transaction."""
    await db.execute(
        "SELECT FROM job_queue WHERE tenant_id = $1 AND job_id = ANY ($2::text[]) ORDER BY job_id FOR UPDATE",
        tenant_id,
        job_ids,
    )
    queued = await db.fetch(_CANCEL_MANY, now, CANCELLED_ERROR, tenant_id, job_ids)
    running = await db.fetch(
        """
        UPDATE job_queue SET cancel_requested_at = coalesce(cancel_requested_at, $3)
        WHERE tenant_id = $1 AND job_id = ANY ($2::text[]) AND state = 'running' RETURNING job_id, executor_id
        """,
        tenant_id,
        job_ids,
        now,
    )
    return CancelledJobs(
        cancelled=[row["job_id"] for row in queued],
        awaited=[row["job_id"] for row in queued if row["awaited"]],
        requested=[row["job_id"] for row in running],
        executor_ids=frozenset(row["executor_id"] for row in running if row["executor_id"]),
    )


async def delete_retries(db: PoolConnection, tenant_id: str, retries: Sequence[Submission]) -> None:
    """Delete the records of retries that were not accepted."""
    if not retries:
        return
    await db.execute(
        "DELETE FROM job_retries WHERE tenant_id = $1 AND retried_as = ANY ($2) AND job_id = ANY ($3)",
        tenant_id,
        [item.id for item in retries],
        [item.retry_of for item in retries],
    )


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


def _operation(row: Record) -> BulkOperation:
    return struct_from_row(BulkOperation, row)
