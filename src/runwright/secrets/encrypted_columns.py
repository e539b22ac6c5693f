"""The SQL that the vault's keys need of secrets that others hold: which are in use, and moving to another.

A holder (an endpoint, an agent) has rows of sealed secrets in a table of its own; `Holders` says where.
"""

from collections.abc import Sequence

import msgspec

from runwright.db.pool import Database
from runwright.secrets.model import SealedValue


class EncryptedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """Things of a kind that hold secrets. All of it is put into statements as it is."""

    table: str
    """Of the holders, with id and tenant_id."""
    secrets: str
    """Of their secrets, with key_id and sealed."""
    column: str
    """Of the secrets: whose."""
    stop: str
    """What is set of a holder whose secret was lost; `g.reason` says why."""
    prefix: str = ""
    """What stands before a holder's id where its secrets are sealed."""


class StoredSecret(msgspec.Struct, frozen=True):
    """A sealed secret and whose it is."""

    tenant_id: str
    holder_id: str
    secret: SealedValue


async def count_by_key(db: Database, holders: EncryptedColumn) -> dict[str, int]:
    """Return how many holders' secrets each key has sealed."""
    rows = await db.fetch(f"SELECT key_id, count(*) AS number FROM {holders.secrets} GROUP BY 1 ORDER BY 1")
    return {row["key_id"]: row["number"] for row in rows}


async def fetch_sealed_with(
    db: Database, holders: EncryptedColumn, *, key_id: str, after: str, limit: int
) -> list[StoredSecret]:
    """Return what a key has sealed of the next holders, in order, after the given one."""
    rows = await db.fetch(
        f"""
        SELECT h.tenant_id, h.id, s.key_id, s.sealed
        FROM (
            SELECT DISTINCT {holders.column} AS id FROM {holders.secrets}
            WHERE key_id = $1 AND {holders.column} > $2 ORDER BY 1 LIMIT $3
        ) AS next
        JOIN {holders.secrets} s ON s.{holders.column} = next.id AND s.key_id = $1
        JOIN {holders.table} h ON h.id = next.id
        ORDER BY h.id
        """,
        key_id,
        after,
        limit,
    )
    return [
        StoredSecret(row["tenant_id"], row["id"], SealedValue(row["key_id"], row["sealed"])) for row in rows
    ]


async def reseal_secrets(
    db: Database, holders: EncryptedColumn, pairs: Sequence[tuple[StoredSecret, SealedValue]]
) -> int:
    """Put new seals in place of old ones where those still stand; return how many did."""
    rows = await db.fetch(
        f"""
        UPDATE {holders.secrets} s SET key_id = fresh.key_id, sealed = fresh.sealed
        FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[]) AS fresh (id, was, key_id, sealed)
        WHERE s.{holders.column} = fresh.id AND s.sealed = fresh.was
        RETURNING true
        """,
        [old.holder_id for old, _ in pairs],
        [old.secret.sealed for old, _ in pairs],
        [new.key_id for _, new in pairs],
        [new.sealed for _, new in pairs],
    )
    return len(rows)


async def discard_sealed_with(
    db: Database, holders: EncryptedColumn, *, key_id: str, reason: str
) -> list[tuple[str, str]]:
    """Delete what a key has sealed and stop its holders; return (tenant, holder) of each."""
    async with db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            f"""
            WITH gone AS (
                DELETE FROM {holders.secrets} WHERE key_id = $1
                RETURNING {holders.column} AS id, $2::text AS reason
            )
            UPDATE {holders.table} h SET {holders.stop} FROM gone g WHERE h.id = g.id
            RETURNING h.tenant_id, h.id
            """,
            key_id,
            reason,
        )
    return sorted((row["tenant_id"], row["id"]) for row in rows)
