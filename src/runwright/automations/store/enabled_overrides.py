"""The SQL of what was wanted of definitions in files: switched on or off, against what the file says."""

from datetime import datetime

from runwright.db.pool import PoolConnection


async def put_overlay(db: PoolConnection, *, automation_id: str, enabled: bool, now: datetime) -> None:
    """Keep what was wanted, also while no file has the definition."""
    await db.execute(
        """
        INSERT INTO automation_overlays (automation_id, enabled, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (automation_id) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at
        """,
        *(automation_id, enabled, now),
    )


async def drop_overlay(db: PoolConnection, *, automation_id: str) -> None:
    """Let the file have its way again."""
    await db.execute("DELETE FROM automation_overlays WHERE automation_id = $1", automation_id)


async def fetch_overlays(db: PoolConnection) -> dict[str, bool]:
    """Return what was wanted, by the definition's id."""
    rows = await db.fetch("SELECT automation_id, enabled FROM automation_overlays")
    return {row["automation_id"]: row["enabled"] for row in rows}
