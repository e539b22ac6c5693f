"""The SQL of API keys."""

from datetime import datetime, timedelta
from typing import Final

import asyncpg

from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import ROLES
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.tenants.model import Key

_COLUMNS: Final = "id, tenant_id, role, name, created_at, last_used_at, revoked_at"
_LISTED: Final = Rows(columns=_COLUMNS, table="api_keys")


async def insert_key(db: PoolConnection, key: Key, key_digest: bytes) -> None:
    await db.execute(
        "INSERT INTO api_keys (id, digest, tenant_id, role, name, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        key.id,
        key_digest,
        key.tenant_id,
        key.role.wire_name,
        key.name,
        key.created_at,
    )


async def use_key(db: Database, key_digest: bytes, *, now: datetime, every: timedelta) -> Key | None:
    """Return the live key with this digest; note that it is used, at most once in `every`."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM api_keys WHERE digest = $1 AND revoked_at IS NULL",  # noqa: S608  a constant
        key_digest,
    )
    if row is None:
        return None
    key = _key(row)
    if key.last_used_at is None or key.last_used_at <= now - every:
        await db.execute(
            "UPDATE api_keys SET last_used_at = $2"
            " WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
            key.id,
            now,
            now - every,
        )
    return key


async def list_keys(db: Database, tenant_id: str | None) -> list[Key]:
    """Return the keys of one tenant, or of all, newest first, revoked ones too."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM api_keys WHERE tenant_id = $1 OR $1 IS NULL"  # noqa: S608  a constant
        " ORDER BY id DESC",
        tenant_id,
    )
    return [_key(row) for row in rows]


async def fetch_key(db: Database | PoolConnection, key_id: str, *, lock: bool = False) -> Key | None:
    """Return a key; `lock` holds its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM api_keys WHERE id = $1" + (" FOR UPDATE" if lock else ""),  # noqa: S608
        key_id,
    )
    return None if row is None else _key(row)


async def page_keys(db: Database, tenant_id: str | None, page: PageRequest) -> Listing[Key]:
    """Return a page of the keys of one tenant, or of all, newest first, revoked ones too."""
    where = Conditions()
    where.add("tenant_id = {}", tenant_id)
    return (await fetch_page(db, _LISTED, where, page)).map(_key)


async def revoke_key(db: PoolConnection, key_id: str, *, now: datetime) -> Key | None:
    """Revoke a key, once: a second time keeps the first one's moment. None where there is no such key."""
    row = await db.fetchrow(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1"  # noqa: S608  a constant
        f" RETURNING {_COLUMNS}",
        key_id,
        now,
    )
    return None if row is None else _key(row)


def _key(row: asyncpg.Record) -> Key:
    return Key(
        id=row["id"],
        tenant_id=row["tenant_id"],
        role=ROLES[row["role"]],
        name=row["name"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
