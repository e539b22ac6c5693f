"""SQL of the vault."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.model import EncryptedSecret, SecretInfo, SecretName

_ENCRYPTED: Final = "s.tenant_id, s.name, s.key_id, s.sealed AS ciphertext"
_LISTED: Final = Rows(columns="id, name, updated_at", table="secrets")
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('secrets of ' || $1, 0))"


async def put_secret(
    db: PoolConnection, secret: EncryptedSecret, *, new_id: str, limit: int, now: datetime
) -> tuple[SecretInfo, bool] | None:
    """Insert (True) or replace (False) a secret; None if the tenant already has `limit` secrets.

    An advisory lock serializes the writes of a tenant, so that the limit holds under concurrency.
    """
    await db.execute(_LOCK, secret.tenant_id)
    row = await db.fetchrow(
        "UPDATE secrets SET key_id = $3, sealed = $4, updated_at = greatest(updated_at, $5)"
        " WHERE tenant_id = $1 AND name = $2 RETURNING name, updated_at",
        secret.tenant_id,
        secret.name,
        secret.key_id,
        secret.ciphertext,
        now,
    )
    if row is not None:
        return SecretInfo(**dict(row)), False
    if await db.fetchval("SELECT count(*) FROM secrets WHERE tenant_id = $1", secret.tenant_id) >= limit:
        return None
    await db.execute(
        "INSERT INTO secrets (tenant_id, name, id, key_id, sealed, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        secret.tenant_id,
        secret.name,
        new_id,
        secret.key_id,
        secret.ciphertext,
        now,
    )
    return SecretInfo(secret.name, now), True


async def delete_secret(db: PoolConnection, name: SecretName) -> bool:
    """Delete a secret; return False if it does not exist."""
    deleted = await db.fetchval(
        "DELETE FROM secrets WHERE tenant_id = $1 AND name = $2 RETURNING true", name.tenant_id, name.name
    )
    return deleted is not None


async def measure_secrets(db: PoolConnection, tenant_id: str, names: Sequence[str]) -> int:
    """Return how many bytes the values of these secrets have together, those of them that are set.

    A few dozen for each that its encryption adds are included.
    """
    size: int = await db.fetchval(
        "SELECT coalesce(sum(octet_length(sealed)), 0) FROM secrets WHERE tenant_id = $1 AND name = ANY ($2)",
        tenant_id,
        list(names),
    )
    return size


async def list_secrets(
    db: Database, *, tenant_id: str, name_contains: str | None, page: PageRequest
) -> Listing[SecretInfo]:
    """Return a page of the tenant's secrets without their values, newest first."""
    where = Conditions("tenant_id = $1", tenant_id)
    where.add("strpos(lower(name), lower({})) > 0", name_contains)
    found = await fetch_page(db, _LISTED, where, page)
    return found.map(lambda row: SecretInfo(row["name"], row["updated_at"]))


async def fetch_secrets(db: Database, names: Sequence[SecretName]) -> dict[SecretName, EncryptedSecret]:
    """Return those of the named secrets that exist."""
    rows = await db.fetch(
        f"SELECT {_ENCRYPTED} FROM unnest($1::text[], $2::text[]) AS named (tenant_id, name)"
        " JOIN secrets s ON s.tenant_id = named.tenant_id AND s.name = named.name",
        [one.tenant_id for one in names],
        [one.name for one in names],
    )
    found = [_secret(row) for row in rows]
    return {secret.secret_name: secret for secret in found}


async def count_by_key(db: Database) -> dict[str, int]:
    """Return the number of secrets that are encrypted with each key."""
    rows = await db.fetch("SELECT key_id, count(*) AS number FROM secrets GROUP BY 1 ORDER BY 1")
    return {row["key_id"]: row["number"] for row in rows}


async def fetch_by_key(
    db: Database, *, key_id: str, after: SecretName | None, limit: int
) -> list[EncryptedSecret]:
    """Return the next secrets encrypted with a key, in order of tenant and name."""
    rows = await db.fetch(
        f"SELECT {_ENCRYPTED} FROM secrets s WHERE key_id = $1 AND (tenant_id, name) > ($2, $3)"
        " ORDER BY tenant_id, name LIMIT $4",
        key_id,
        "" if after is None else after.tenant_id,
        "" if after is None else after.name,
        limit,
    )
    return [_secret(row) for row in rows]


async def replace_values(db: Database, pairs: Sequence[tuple[EncryptedSecret, EncryptedSecret]]) -> int:
    """Replace old ciphertexts with new ones; leave rows that have changed. Returns how many were replaced."""
    old, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rows = await db.fetch(
        """
        UPDATE secrets s SET key_id = new.key_id, sealed = new.sealed
        FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[])
            AS new (tenant_id, name, was, key_id, sealed)
        WHERE s.tenant_id = new.tenant_id AND s.name = new.name AND s.sealed = new.was
        RETURNING true
        """,
        [one.tenant_id for one in old],
        [one.name for one in old],
        [one.ciphertext for one in old],
        [one.key_id for one in new],
        [one.ciphertext for one in new],
    )
    return len(rows)


async def delete_by_key(db: Database, key_id: str) -> list[SecretName]:
    """Delete the secrets encrypted with a key; return their names."""
    rows = await db.fetch("DELETE FROM secrets WHERE key_id = $1 RETURNING tenant_id, name", key_id)
    return sorted(
        (SecretName(row["tenant_id"], row["name"]) for row in rows), key=lambda one: (one.tenant_id, one.name)
    )


def _secret(row: Record) -> EncryptedSecret:
    return EncryptedSecret(**dict(row))
