"""SQL of webhook secrets, encrypted with the vault's keys. Two may be valid at once during a rotation."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.db.pool import Database, PoolConnection
from runwright.secrets.encrypted_columns import EncryptedColumn
from runwright.secrets.model import EncryptedValue

SECRET_OWNER_PREFIX: Final = "trigger/"  # noqa: S105  a name, not a secret
TRIGGER_SECRETS: Final = EncryptedColumn(
    owners="automations",
    secrets="automation_secrets",
    owner_column="automation_id",
    disable="enabled = false",
    name_prefix=SECRET_OWNER_PREFIX,
)
"""The encrypted column of trigger secrets, for the rotation of the vault's keys."""


async def insert_secret(
    db: PoolConnection, *, automation_id: str, secret: EncryptedValue, overlap_end: datetime | None
) -> None:
    """Insert the newest secret. The previous one stays valid until `overlap_end`, if that is given."""
    await db.execute(
        "DELETE FROM automation_secrets WHERE automation_id = $1 AND ($2::timestamptz IS NULL OR number < ("
        " SELECT max(number) FROM automation_secrets WHERE automation_id = $1))",
        automation_id,
        overlap_end,
    )
    await db.execute(
        "UPDATE automation_secrets SET expires_at = $2 WHERE automation_id = $1", automation_id, overlap_end
    )
    await db.execute(
        """
        INSERT INTO automation_secrets (automation_id, number, key_id, sealed)
        SELECT $1, 1 + coalesce(max(number), 0), $2, $3 FROM automation_secrets WHERE automation_id = $1
        """,
        *(automation_id, secret.key_id, secret.ciphertext),
    )


async def delete_secrets(db: PoolConnection, *, automation_id: str) -> None:
    """Delete the secrets of a trigger."""
    await db.execute("DELETE FROM automation_secrets WHERE automation_id = $1", automation_id)


async def fetch_secrets(
    db: Database | PoolConnection, *, automation_id: str, now: datetime
) -> list[EncryptedValue]:
    """Return the valid secrets of a trigger, newest first."""
    rows = await db.fetch(
        "SELECT key_id, sealed FROM automation_secrets WHERE automation_id = $1"
        " AND (expires_at IS NULL OR expires_at > $2) ORDER BY number DESC",
        automation_id,
        now,
    )
    return [EncryptedValue(row["key_id"], row["sealed"]) for row in rows]


async def with_secrets(db: Database | PoolConnection, *, ids: Sequence[str]) -> frozenset[str]:
    """Return those of these triggers that have a secret."""
    rows = await db.fetch(
        "SELECT DISTINCT automation_id FROM automation_secrets WHERE automation_id = ANY ($1)", ids
    )
    return frozenset(row[0] for row in rows)
