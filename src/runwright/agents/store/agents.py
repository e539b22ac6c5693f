"""The SQL of agents and their secrets."""

from typing import Final

import asyncpg
from asyncpg import Record

from runwright.agents.model import Agent, ExecutionStatus
from runwright.agents.store.calls import drop_calls
from runwright.core.paging import View, Window
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row, update_row
from runwright.secrets.encrypted_columns import EncryptedColumn
from runwright.secrets.model import EncryptedValue

AGENTS: Final = EncryptedColumn(
    owners="agents",
    secrets="agent_secrets",
    owner_column="agent_id",
    # one with a callback stops, for it cannot be signed; the others sign nothing
    disable="active = active AND callback_url IS NULL,"
    " inactive_reason = CASE WHEN callback_url IS NOT NULL THEN lost.reason ELSE inactive_reason END",
)
_COLUMNS: Final = column_list(Agent)


def _agent(row: Record) -> Agent:
    return struct_from_row(Agent, row)


async def insert_agent(db: PoolConnection, agent: Agent, secret: EncryptedValue) -> bool:
    """Insert an agent; False where the tenant has one of this name. Waits for concurrent inserts of it."""
    if not await insert_row(db, "agents", row_of(agent), "ON CONFLICT (tenant_id, name) DO NOTHING"):
        return False
    secret_row = {"agent_id": agent.id, "key_id": secret.key_id, "sealed": secret.ciphertext}
    await insert_row(db, "agent_secrets", secret_row)
    return True


async def has_room(db: PoolConnection, *, tenant_id: str, most: int) -> bool:
    """Return whether a tenant has fewer agents than `most`."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM (SELECT FROM agents WHERE tenant_id = $1 LIMIT $2) AS bounded", tenant_id, most
    )
    return count < most


async def fetch_agent(
    db: Database | PoolConnection, *, tenant_id: str, agent_id: str, lock: bool = False
) -> Agent | None:
    """Return an agent of the tenant; `lock` holds its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM agents WHERE tenant_id = $1 AND id = $2" + (" FOR UPDATE" if lock else ""),
        tenant_id,
        agent_id,
    )
    return None if row is None else _agent(row)


async def find_agent(
    db: Database | PoolConnection, *, tenant_id: str, name: str, lock: bool = False
) -> Agent | None:
    """Return the tenant's agent of this name."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM agents WHERE tenant_id = $1 AND name = $2" + (" FOR UPDATE" if lock else ""),
        tenant_id,
        name,
    )
    return None if row is None else _agent(row)


async def list_agents(db: Database, *, tenant_id: str, window: Window) -> View[Agent]:
    """Return a window of the tenant's agents."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM agents WHERE tenant_id = $1 AND ($2::text IS NULL OR id < $2)"
        f" AND ($3::text IS NULL OR id > $3) ORDER BY id {window.order} LIMIT $4",
        tenant_id,
        window.older_than,
        window.newer_than,
        window.limit + 1,
    )
    return View.of([_agent(row) for row in rows], window)


async def update_agent(db: PoolConnection, agent: Agent) -> bool:
    """Update an agent that the transaction has locked; False where its new name is taken.

    The transaction must be rolled back then.
    """
    try:
        await update_row(db, "agents", row_of(agent))
    except asyncpg.UniqueViolationError:
        return False
    return True


async def delete_agent(db: PoolConnection, *, tenant_id: str, agent_id: str) -> bool:
    """Delete an agent, its secret and its queued calls; False where there is none.

    Its executions become invisible at once; the pruner deletes them.
    """
    deleted = await db.fetchval(
        "DELETE FROM agents WHERE tenant_id = $1 AND id = $2 RETURNING true", tenant_id, agent_id
    )
    await drop_calls(db, agent_id)
    return deleted is not None


async def count_executions(db: Database, *, agent_id: str) -> dict[ExecutionStatus, int]:
    """Return the number of executions of an agent by state; states without any are left out."""
    rows = await db.fetch(
        "SELECT status, count(*) AS number FROM executions WHERE agent_id = $1 GROUP BY status", agent_id
    )
    return {ExecutionStatus(row["status"]): row["number"] for row in rows}
