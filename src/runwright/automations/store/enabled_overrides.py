"""SQL of enabled overrides: values of `enabled` set by callers that differ from the configuration file.

The table's name, `automation_overlays`, is from its first migration.
"""

from datetime import datetime

from runwright.db.pool import PoolConnection


async def set_enabled_override(
    db: PoolConnection, *, automation_id: str, enabled: bool, now: datetime
) -> None:
    """Store an override. It survives the removal of the definition from the file."""
    await db.execute(
        """
        INSERT INTO automation_overlays (automation_id, enabled, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (automation_id) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at
        """,
        *(automation_id, enabled, now),
    )


async def clear_enabled_override(db: PoolConnection, *, automation_id: str) -> None:
    """Delete an override, so that the value in the file applies."""
    await db.execute("DELETE FROM automation_overlays WHERE automation_id = $1", automation_id)


async def fetch_enabled_overrides(db: PoolConnection) -> dict[str, bool]:
    """Return all overrides by the definition's id."""
    rows = await db.fetch("SELECT automation_id, enabled FROM automation_overlays")
    return {row["automation_id"]: row["enabled"] for row in rows}
