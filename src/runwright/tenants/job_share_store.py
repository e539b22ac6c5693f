"""SQL of the links that show one job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.ids import JobId
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.tenants.model import JobShare
from runwright.tenants.session_store import KEY_ACTIVE

_COLUMNS: Final = column_list(JobShare, "s")


async def insert_share(db: PoolConnection, share: JobShare, digest: bytes) -> None:
    await insert_row(db, "job_shares", row_of(share) | {"digest": digest})


async def find_share(db: Database, digest: bytes, *, now: datetime) -> JobShare | None:
    """Return the share with this digest, unless it or its key has ended, or its tenant allows none."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM job_shares s JOIN tenants t ON t.id = s.tenant_id
        WHERE s.digest = $1 AND s.expires_at > $2 AND t.job_sharing AND {KEY_ACTIVE}
        """,
        digest,
        now,
    )
    return None if row is None else struct_from_row(JobShare, row)


async def list_shares(db: Database, tenant_id: str, job_id: JobId, *, now: datetime) -> Sequence[JobShare]:
    """Return the shares of a job that have not ended, newest first."""
    rows = await db.fetch(
        f"""
        SELECT {_COLUMNS} FROM job_shares s
        WHERE s.tenant_id = $1 AND s.expires_at > $2 AND s.job_id = $3 AND {KEY_ACTIVE}
        ORDER BY s.id DESC
        """,
        tenant_id,
        now,
        job_id,
    )
    return [struct_from_row(JobShare, row) for row in rows]


async def count_shares(db: PoolConnection, tenant_id: str, *, now: datetime, bound: int) -> int:
    """Return how many shares of a tenant have not ended, at most `bound`."""
    count: int = await db.fetchval(
        f"""
        SELECT count(*) FROM (
            SELECT FROM job_shares s
            WHERE s.tenant_id = $1 AND s.expires_at > $2 AND {KEY_ACTIVE} LIMIT $3
        ) AS bounded
        """,
        tenant_id,
        now,
        bound,
    )
    return count


async def delete_share(
    db: PoolConnection, tenant_id: str, job_id: JobId, *, share_id: str
) -> JobShare | None:
    """Delete a share of a job and return it; None if there was none."""
    row = await db.fetchrow(
        f"""
        DELETE FROM job_shares s WHERE s.tenant_id = $1 AND s.job_id = $2 AND s.id = $3
        RETURNING {_COLUMNS}
        """,
        tenant_id,
        job_id,
        share_id,
    )
    return None if row is None else struct_from_row(JobShare, row)


async def is_sharing_allowed(db: Database | PoolConnection, tenant_id: str, *, lock: bool = False) -> bool:
    """Return whether a tenant allows shares.

    `lock` keeps that so until the transaction ends, and others who lock it wait until then.
    """
    allowed = await db.fetchval(
        "SELECT job_sharing FROM tenants WHERE id = $1" + (" FOR NO KEY UPDATE" if lock else ""), tenant_id
    )
    return bool(allowed)


async def set_sharing(db: PoolConnection, tenant_id: str, *, allowed: bool) -> bool:
    """Let a tenant allow shares or not, and delete them all if not; return whether that is a change."""
    changed = await db.fetchval(
        "UPDATE tenants SET job_sharing = $2 WHERE id = $1 AND job_sharing <> $2 RETURNING true",
        tenant_id,
        allowed,
    )
    if not allowed:
        await db.execute("DELETE FROM job_shares WHERE tenant_id = $1", tenant_id)
    return bool(changed)


async def prune_shares(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` shares that have ended; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM job_shares WHERE id IN (
            SELECT id FROM job_shares WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now,
        limit,
    )
    return len(rows)
