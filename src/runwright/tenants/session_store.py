"""SQL of sessions."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.roles import ROLES
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.tenants.key_store import stored_scopes
from runwright.tenants.model import PLATFORM_KEY_ID, KeySession, SessionKind

_COLUMNS: Final = column_list(KeySession, "s")
KEY_ACTIVE: Final = f"""(s.key_id = '{PLATFORM_KEY_ID}' OR EXISTS (
    SELECT FROM api_keys k WHERE k.id = s.key_id AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > $2)
))"""
"""Whether the key of a row `s` is active; `$2` is the time."""


async def insert_session(db: PoolConnection, session: KeySession, digest: bytes) -> None:
    row = row_of(session) | {"role": session.role.wire_name, "scopes": stored_scopes(session.scopes)}
    await insert_row(db, "sessions", row | {"digest": digest})


async def find_session(db: Database, digest: bytes, *, now: datetime) -> KeySession | None:
    """Return the session with this digest, unless it or its key has ended, or it is a link."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM sessions s
        WHERE s.digest = $1 AND s.expires_at > $2 AND s.kind <> '{SessionKind.LINK}' AND {KEY_ACTIVE}
        """,
        digest,
        now,
    )
    return None if row is None else _session(row)


async def take_link(db: PoolConnection, digest: bytes, *, now: datetime) -> KeySession | None:
    """Delete a link and return it, unless it or its key has ended."""
    row = await db.fetchrow(
        f"""
        DELETE FROM sessions s
        WHERE s.digest = $1 AND s.kind = '{SessionKind.LINK}' AND s.expires_at > $2 AND {KEY_ACTIVE}
        RETURNING {_COLUMNS}
        """,
        digest,
        now,
    )
    return None if row is None else _session(row)


async def delete_session(db: PoolConnection, session_id: str) -> bool:
    """Delete a session; return whether there was one."""
    deleted = await db.fetchval("DELETE FROM sessions WHERE id = $1 RETURNING true", session_id)
    return bool(deleted)


async def count_sessions(db: Database | PoolConnection, tenant_id: str, *, now: datetime, bound: int) -> int:
    """Return how many sessions a tenant has, at most `bound`."""
    count: int = await db.fetchval(
        """
        SELECT count(*) FROM (
            SELECT FROM sessions WHERE tenant_id = $1 AND expires_at > $2 LIMIT $3
        ) AS bounded
        """,
        tenant_id,
        now,
        bound,
    )
    return count


async def valid_credentials(
    db: Database, ids: Collection[str], digests: Collection[bytes], *, now: datetime
) -> set[str | bytes]:
    """Return which of these keys and sessions are active, and which digests are of accepted texts."""
    rows = await db.fetch(
        """
        SELECT id, NULL::bytea AS digest FROM api_keys
        WHERE id = ANY ($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
        UNION ALL SELECT id, NULL FROM sessions WHERE id = ANY ($1) AND expires_at > $2
        UNION ALL SELECT NULL, digest FROM api_keys WHERE digest = ANY ($3)
        UNION ALL SELECT NULL, digest FROM previous_api_keys WHERE digest = ANY ($3) AND expires_at > $2
        """,
        list(ids),
        now,
        list(digests),
    )
    return {row["digest"] if row["id"] is None else row["id"] for row in rows}


async def end_sessions_of(db: PoolConnection, key_id: str, *, at: datetime) -> None:
    """Let what a key has made until now (sessions, links, shares) end at a time, unless it ends before."""
    for table in ("sessions", "job_shares"):
        await db.execute(
            f"UPDATE {table} SET expires_at = $2 WHERE key_id = $1 AND expires_at > $2",
            key_id,
            at,
        )


async def prune_sessions(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` sessions that have ended; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now,
        limit,
    )
    return len(rows)


def _session(row: Record) -> KeySession:
    return struct_from_row(KeySession, row, role=ROLES[row["role"]])
