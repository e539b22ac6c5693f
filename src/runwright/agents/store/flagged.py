"""SQL of flagged executions: those that wait for a person, and those that a person has decided."""

from collections.abc import Collection, Sequence
from typing import Final

from runwright.db.pool import Database

_OF_AGENT: Final = "EXISTS (SELECT FROM agents a WHERE a.id = x.agent_id)"


async def flagged_ids(
    db: Database, *, tenant_id: str, reviewed: bool, older_than: str | None, limit: int
) -> Sequence[str]:
    """Return the ids of up to `limit` flagged executions, newest first: those that wait, or were reviewed."""
    state = "x.review IS NOT NULL" if reviewed else "x.action = 'flag'"
    rows = await db.fetch(
        f"""
        SELECT x.id FROM executions x
        WHERE x.tenant_id = $1 AND {state} AND ($2::text IS NULL OR x.id < $2) AND {_OF_AGENT}
        ORDER BY x.id DESC LIMIT $3
        """,
        *(tenant_id, older_than, limit),
    )
    return [row["id"] for row in rows]


async def count_flagged(db: Database, *, tenant_id: str, bound: int) -> int:
    """Return how many executions wait for a person, at most `bound`."""
    count: int = await db.fetchval(
        f"""
        SELECT count(*) FROM (
            SELECT FROM executions x WHERE x.tenant_id = $1 AND x.action = 'flag' AND {_OF_AGENT} LIMIT $2
        ) AS bounded
        """,
        *(tenant_id, bound),
    )
    return count


async def agent_names(db: Database, agent_ids: Collection[str]) -> dict[str, str]:
    """Return the names of agents by their ids."""
    rows = await db.fetch("SELECT id, name FROM agents WHERE id = ANY ($1)", list(agent_ids))
    return {row["id"]: row["name"] for row in rows}
