"""The SQL that the vault's keys need of endpoints' secrets: which are in use, and moving to another."""

from collections.abc import Sequence

import msgspec

from runwright.db.pool import Database
from runwright.deliveries.model import SealedSecret


class EndpointSecret(msgspec.Struct, frozen=True):
    """A sealed secret and whose it is."""

    tenant_id: str
    endpoint_id: str
    secret: SealedSecret


async def count_by_key(db: Database) -> dict[str, int]:
    """Return how many endpoints' secrets each key has sealed."""
    rows = await db.fetch("SELECT key_id, count(*) AS number FROM endpoint_secrets GROUP BY 1 ORDER BY 1")
    return {row["key_id"]: row["number"] for row in rows}


async def fetch_sealed_with(db: Database, *, key_id: str, after: str, limit: int) -> list[EndpointSecret]:
    """Return what a key has sealed of the next endpoints, in order, after the given one."""
    rows = await db.fetch(
        """
        SELECT e.tenant_id, s.endpoint_id, s.key_id, s.sealed
        FROM (
            SELECT DISTINCT endpoint_id FROM endpoint_secrets
            WHERE key_id = $1 AND endpoint_id > $2 ORDER BY endpoint_id LIMIT $3
        ) AS next
        JOIN endpoint_secrets s ON s.endpoint_id = next.endpoint_id AND s.key_id = $1
        JOIN endpoints e ON e.id = s.endpoint_id
        ORDER BY s.endpoint_id, s.number
        """,
        key_id,
        after,
        limit,
    )
    return [
        EndpointSecret(row["tenant_id"], row["endpoint_id"], SealedSecret(row["key_id"], row["sealed"]))
        for row in rows
    ]


async def reseal_secrets(db: Database, pairs: Sequence[tuple[EndpointSecret, SealedSecret]]) -> int:
    """Put new seals in place of old ones where those still stand; return how many did."""
    rows = await db.fetch(
        """
        UPDATE endpoint_secrets s SET key_id = fresh.key_id, sealed = fresh.sealed
        FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[])
            AS fresh (endpoint_id, was, key_id, sealed)
        WHERE s.endpoint_id = fresh.endpoint_id AND s.sealed = fresh.was
        RETURNING true
        """,
        [old.endpoint_id for old, _ in pairs],
        [old.secret.sealed for old, _ in pairs],
        [new.key_id for _, new in pairs],
        [new.sealed for _, new in pairs],
    )
    return len(rows)


async def discard_sealed_with(db: Database, *, key_id: str, reason: str) -> list[tuple[str, str]]:
    """Delete what a key has sealed and pause its endpoints; return (tenant, endpoint) of each."""
    async with db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            """
            WITH gone AS (DELETE FROM endpoint_secrets WHERE key_id = $1 RETURNING endpoint_id)
            UPDATE endpoints e SET status = 'paused', status_reason = $2
            WHERE e.id IN (SELECT endpoint_id FROM gone)
            RETURNING e.tenant_id, e.id
            """,
            key_id,
            reason,
        )
    return sorted((row["tenant_id"], row["id"]) for row in rows)
