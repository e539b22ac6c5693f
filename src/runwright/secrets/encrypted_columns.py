"""SQL for the secrets that are stored with their owners (endpoints, agents, triggers), not in the vault.

They are encrypted with the vault's keys, so that counting, rotating and discarding a key includes
them. An `EncryptedColumn` describes the tables of one kind of owner.
"""

from collections.abc import Sequence

import msgspec

from runwright.db.pool import Database
from runwright.secrets.model import EncryptedValue


class EncryptedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of one kind of owner. All fields are inserted into statements unquoted."""

    owners: str
    """The table of the owners, with id and tenant_id."""
    secrets: str
    """The table of their secrets, with key_id and sealed (the ciphertext)."""
    owner_column: str
    """The column of the secrets that refers to the owner."""
    disable: str
    """The SET clause that disables an owner whose secret was lost; `lost.reason` is the reason."""
    name_prefix: str = ""
    """What precedes the owner's id in the name that its secrets are bound to."""


class OwnedSecret(msgspec.Struct, frozen=True):
    """An encrypted secret and its owner."""

    tenant_id: str
    owner_id: str
    value: EncryptedValue


async def count_by_key(db: Database, column: EncryptedColumn) -> dict[str, int]:
    """Return the number of secrets that are encrypted with each key."""
    rows = await db.fetch(f"SELECT key_id, count(*) AS number FROM {column.secrets} GROUP BY 1 ORDER BY 1")
    return {row["key_id"]: row["number"] for row in rows}


async def fetch_by_key(
    db: Database, column: EncryptedColumn, *, key_id: str, after: str, limit: int
) -> list[OwnedSecret]:
    """Return the secrets encrypted with a key, of the next `limit` owners in order of their ids."""
    rows = await db.fetch(
        f"""
        SELECT owner.tenant_id, owner.id, s.key_id, s.sealed
        FROM (
            SELECT DISTINCT {column.owner_column} AS id FROM {column.secrets}
            WHERE key_id = $1 AND {column.owner_column} > $2 ORDER BY 1 LIMIT $3
        ) AS next
        JOIN {column.secrets} s ON s.{column.owner_column} = next.id AND s.key_id = $1
        JOIN {column.owners} owner ON owner.id = next.id
        ORDER BY owner.id
        """,
        key_id,
        after,
        limit,
    )
    return [
        OwnedSecret(row["tenant_id"], row["id"], EncryptedValue(row["key_id"], row["sealed"])) for row in rows
    ]


async def replace_values(
    db: Database, column: EncryptedColumn, pairs: Sequence[tuple[OwnedSecret, EncryptedValue]]
) -> int:
    """Replace old ciphertexts with new ones; leave rows that have changed. Returns how many were replaced."""
    rows = await db.fetch(
        f"""
        UPDATE {column.secrets} s SET key_id = new.key_id, sealed = new.sealed
        FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[]) AS new (id, was, key_id, sealed)
        WHERE s.{column.owner_column} = new.id AND s.sealed = new.was
        RETURNING true
        """,
        [old.owner_id for old, _ in pairs],
        [old.value.ciphertext for old, _ in pairs],
        [new.key_id for _, new in pairs],
        [new.ciphertext for _, new in pairs],
    )
    return len(rows)


async def delete_by_key(
    db: Database, column: EncryptedColumn, *, key_id: str, reason: str
) -> list[tuple[str, str]]:
    """Delete the secrets encrypted with a key and disable their owners; return (tenant, owner) of each."""
    async with db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            f"""
            WITH lost AS (
                DELETE FROM {column.secrets} WHERE key_id = $1
                RETURNING {column.owner_column} AS id, $2::text AS reason
            )
            UPDATE {column.owners} owner SET {column.disable} FROM lost WHERE owner.id = lost.id
            RETURNING owner.tenant_id, owner.id
            """,
            key_id,
            reason,
        )
    return sorted((row["tenant_id"], row["id"]) for row in rows)
