"""The SQL that finds who a name is: a worker of the tenant by its name or its id."""

from collections.abc import Sequence

from runwright.db.pool import PoolConnection


async def find_workers(db: PoolConnection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the ids of workers by (tenant, name or id); an active one before others, the newest first."""
    rows = await db.fetch(
        """
        SELECT i.tenant_id, i.name, w.id
        FROM unnest($1::text[], $2::text[]) AS i (tenant_id, name)
        CROSS JOIN LATERAL (
            SELECT id FROM workers w WHERE w.tenant_id = i.tenant_id AND (w.name = i.name OR w.id = i.name)
            ORDER BY w.status = 'active' DESC, w.id = i.name DESC, w.id DESC LIMIT 1
        ) w
        """,
        [tenant_id for tenant_id, _ in names],
        [name for _, name in names],
    )
    return {(row["tenant_id"], row["name"]): row["id"] for row in rows}
