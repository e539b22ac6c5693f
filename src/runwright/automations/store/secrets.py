"""The SQL of webhooks' secrets, sealed by the vault's keys: the newest one first, two may be good at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.db.pool import Database, PoolConnection
from runwright.secrets.encrypted_columns import EncryptedColumn
from runwright.secrets.model import EncryptedValue

SEALED_AS: Final = "trigger/"
TRIGGERS: Final = EncryptedColumn(
    owners="automations",
    secrets="automation_secrets",
    owner_column="automation_id",
    disable="enabled = false",
    name_prefix=SEALED_AS,
)
"""The tables of triggers' secrets, for key rotation."""


async def put_secret(
    db: PoolConnection, *, automation_id: str, secret: EncryptedValue, old_until: datetime | None
) -> None:
    """Make this the newest secret; the one before is good until then, or no more."""
    await db.execute(
        "DELETE FROM automation_secrets WHERE automation_id = $1 AND ($2::timestamptz IS NULL OR number < ("
        " SELECT max(number) FROM automation_secrets WHERE automation_id = $1))",
        automation_id,
        old_until,
    )
    await db.execute(
        "UPDATE automation_secrets SET expires_at = $2 WHERE automation_id = $1", automation_id, old_until
    )
    await db.execute(
        """
        INSERT INTO automation_secrets (automation_id, number, key_id, sealed)
        SELECT $1, 1 + coalesce(max(number), 0), $2, $3 FROM automation_secrets WHERE automation_id = $1
        """,
        *(automation_id, secret.key_id, secret.ciphertext),
    )


async def drop_secrets(db: PoolConnection, *, automation_id: str) -> None:
    """Forget the secrets of a trigger."""
    await db.execute("DELETE FROM automation_secrets WHERE automation_id = $1", automation_id)


async def fetch_secrets(
    db: Database | PoolConnection, *, automation_id: str, now: datetime
) -> list[EncryptedValue]:
    """Return the secrets of a trigger that are good now, the newest first."""
    rows = await db.fetch(
        "SELECT key_id, sealed FROM automation_secrets WHERE automation_id = $1"
        " AND (expires_at IS NULL OR expires_at > $2) ORDER BY number DESC",
        automation_id,
        now,
    )
    return [EncryptedValue(row["key_id"], row["sealed"]) for row in rows]


async def with_secrets(db: Database | PoolConnection, *, ids: Sequence[str]) -> frozenset[str]:
    """Return which of these triggers have a secret."""
    rows = await db.fetch(
        "SELECT DISTINCT automation_id FROM automation_secrets WHERE automation_id = ANY ($1)", ids
    )
    return frozenset(row[0] for row in rows)
