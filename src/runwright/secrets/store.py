"""The SQL of the vault."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.model import SealedSecret, SecretInfo, SecretName

_SEALED: Final = "s.tenant_id, s.name, s.key_id, s.sealed"
_LISTED: Final = Rows(columns="id, name, updated_at", table="secrets")
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('secrets of ' || $1, 0))"


async def put_secret(
    db: PoolConnection, secret: SealedSecret, *, new_id: str, most: int, now: datetime
) -> tuple[SecretInfo, bool] | None:
    """Store a value, new (True) or in place of the one before; None where the tenant has too many.

    A tenant's puts take turns, so that the bound holds whatever happens at once.
    """
    await db.execute(_LOCK, secret.tenant_id)
    row = await db.fetchrow(
        "UPDATE secrets SET key_id = $3, sealed = $4, updated_at = greatest(updated_at, $5)"
        " WHERE tenant_id = $1 AND name = $2 RETURNING name, updated_at",
        secret.tenant_id,
        secret.name,
        secret.key_id,
        secret.sealed,
        now,
    )
    if row is not None:
        return SecretInfo(**dict(row)), False
    if await db.fetchval("SELECT count(*) FROM secrets WHERE tenant_id = $1", secret.tenant_id) >= most:
        return None
    await db.execute(
        "INSERT INTO secrets (tenant_id, name, id, key_id, sealed, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        secret.tenant_id,
        secret.name,
        new_id,
        secret.key_id,
        secret.sealed,
        now,
    )
    return SecretInfo(secret.name, now), True


async def delete_secret(db: PoolConnection, whose: SecretName) -> bool:
    """Delete a secret; False where there is none of that name."""
    deleted = await db.fetchval(
        "DELETE FROM secrets WHERE tenant_id = $1 AND name = $2 RETURNING true", whose.tenant_id, whose.name
    )
    return deleted is not None


async def list_secrets(
    db: Database, *, tenant_id: str, name_contains: str | None, page: PageRequest
) -> Listing[SecretInfo]:
    """Return a page of what the tenant's secrets are called, newest first."""
    where = Conditions("tenant_id = $1", tenant_id)
    where.add("strpos(lower(name), lower({})) > 0", name_contains)
    found = await fetch_page(db, _LISTED, where, page)
    return found.map(lambda row: SecretInfo(row["name"], row["updated_at"]))


async def fetch_sealed(db: Database, wanted: Sequence[SecretName]) -> dict[SecretName, SealedSecret]:
    """Return the stored values among those that are wanted."""
    rows = await db.fetch(
        f"SELECT {_SEALED} FROM unnest($1::text[], $2::text[]) AS wanted (tenant_id, name)"
        " JOIN secrets s ON s.tenant_id = wanted.tenant_id AND s.name = wanted.name",
        [one.tenant_id for one in wanted],
        [one.name for one in wanted],
    )
    found = [_sealed(row) for row in rows]
    return {secret.whose: secret for secret in found}


async def count_by_key(db: Database) -> dict[str, int]:
    """Return how many values each key has sealed."""
    rows = await db.fetch("SELECT key_id, count(*) AS number FROM secrets GROUP BY 1 ORDER BY 1")
    return {row["key_id"]: row["number"] for row in rows}


async def fetch_sealed_with(
    db: Database, *, key_id: str, after: SecretName | None, limit: int
) -> list[SealedSecret]:
    """Return values that a key has sealed, in order of tenant and name."""
    rows = await db.fetch(
        f"SELECT {_SEALED} FROM secrets s WHERE key_id = $1 AND (tenant_id, name) > ($2, $3)"
        " ORDER BY tenant_id, name LIMIT $4",
        key_id,
        "" if after is None else after.tenant_id,
        "" if after is None else after.name,
        limit,
    )
    return [_sealed(row) for row in rows]


async def reseal_secrets(db: Database, pairs: Sequence[tuple[SealedSecret, SealedSecret]]) -> int:
    """Put new seals in place of old ones where those still stand; return how many did."""
    old, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = await db.fetch(
        """
        UPDATE secrets s SET key_id = fresh.key_id, sealed = fresh.sealed
        FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[])
            AS fresh (tenant_id, name, was, key_id, sealed)
        WHERE s.tenant_id = fresh.tenant_id AND s.name = fresh.name AND s.sealed = fresh.was
        RETURNING true
        """,
        [one.tenant_id for one in old],
        [one.name for one in old],
        [one.sealed for one in old],
        [one.key_id for one in new],
        [one.sealed for one in new],
    )
    return len(rows)


async def discard_sealed_with(db: Database, key_id: str) -> list[SecretName]:
    """Delete the values that a key has sealed; return whose they were."""
    rows = await db.fetch("DELETE FROM secrets WHERE key_id = $1 RETURNING tenant_id, name", key_id)
    return sorted(
        (SecretName(row["tenant_id"], row["name"]) for row in rows), key=lambda one: (one.tenant_id, one.name)
    )


def _sealed(row: Record) -> SealedSecret:
    return SealedSecret(**dict(row))
