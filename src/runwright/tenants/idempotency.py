"""The idempotency keys of requests that make something: jobs, bulk operations, backfills."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.errors import ConflictError, QuotaError
from runwright.db.pool import Database, PoolConnection
from runwright.tenants.quotas import Quota

IDEMPOTENCY_TTL: Final = timedelta(hours=24)


class Idempotency(msgspec.Struct, frozen=True):
    """An `Idempotency-Key` and a digest of the body that came with it."""

    key: str
    body_digest: bytes


async def reserve_key(
    db: PoolConnection,
    idempotency: Idempotency,
    *,
    tenant_id: str,
    ids: Sequence[str],
    now: datetime,
    refusal: str = "This Idempotency-Key was used with another request body.",
) -> Sequence[str] | None:
    """Reserve a key for what has these ids, or return the ids that it was used for within the last day.

    Waits for a competitor in another transaction, so two requests with one key never both succeed. Raises
    ConflictError (`refusal`) where the earlier request had another body.
    """
    reserved = await db.fetchval(
        """
        INSERT INTO idempotency_keys AS k (tenant_id, key, body_digest, job_ids, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant_id, key) DO UPDATE
            SET body_digest = excluded.body_digest, job_ids = excluded.job_ids,
                created_at = excluded.created_at
            WHERE k.created_at <= $6 OR k.job_ids = excluded.job_ids
        RETURNING true
        """,
        tenant_id,
        idempotency.key,
        idempotency.body_digest,
        ids,
        now,
        now - IDEMPOTENCY_TTL,
    )
    if reserved:
        return None
    prior = await db.fetchrow(
        "SELECT body_digest, job_ids FROM idempotency_keys WHERE tenant_id = $1 AND key = $2",
        tenant_id,
        idempotency.key,
    )
    if prior is None:
        return None
    if prior["body_digest"] != idempotency.body_digest:
        raise ConflictError(refusal)
    ids_made: Sequence[str] = prior["job_ids"]
    return ids_made


async def charge_quota(
    quota: Quota,
    db: Database,
    idempotency_key: str | None,
    *,
    tenant_id: str,
    now: datetime,
    amount: int = 1,
) -> None:
    """Charge a quota for a request, or raise QuotaError; one that repeats an earlier request is let pass.

    It makes nothing: `reserve_key` returns what the earlier one has made.
    """
    try:
        await quota.take(tenant_id, amount)
    except QuotaError:
        if idempotency_key is None or not await _is_used(db, idempotency_key, tenant_id, now):
            raise


async def _is_used(db: Database, key: str, tenant_id: str, now: datetime) -> bool:
    statement = "SELECT true FROM idempotency_keys WHERE tenant_id = $1 AND key = $2 AND created_at > $3"
    return await db.fetchval(statement, tenant_id, key, now - IDEMPOTENCY_TTL) or False


async def prune_idempotency_keys(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` idempotency keys that have expired; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM idempotency_keys WHERE (tenant_id, key) IN (
            SELECT tenant_id, key FROM idempotency_keys WHERE created_at <= $1
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now - IDEMPOTENCY_TTL,
        limit,
    )
    return len(rows)
