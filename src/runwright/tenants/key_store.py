"""SQL of API keys."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import ALL_SCOPES, ROLES, Caller, KeyScope
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.tenants.model import ApiKey, restricted_digest

_COLUMNS: Final = f"""
    {column_list(ApiKey, without=("previous_until",))},
    (SELECT max(p.expires_at) FROM previous_api_keys p WHERE p.key_id = api_keys.id) AS previous_until
"""
_KEYS: Final = Rows(columns=_COLUMNS, table="api_keys")
_ACTIVE: Final = "revoked_at IS NULL AND (api_keys.expires_at IS NULL OR api_keys.expires_at > $2)"


class FoundKey(msgspec.Struct, frozen=True):
    """A key that was found by its text, and until when that text is accepted."""

    key: ApiKey
    text_expires_at: datetime | None


async def insert_key(db: PoolConnection, key: ApiKey, key_digest: bytes) -> None:
    """Insert a key with the digest of its text."""
    row = row_of(key, without=("previous_until",))
    row |= {"role": key.role.wire_name, "scopes": stored_scopes(key.scopes)}
    await insert_row(db, "api_keys", row | {"digest": _stored_digest(key, key_digest)})


async def find_key(db: Database, key_digest: bytes, *, now: datetime) -> FoundKey | None:
    """Return the active key with this digest, of its current or an earlier text."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS}, NULL::timestamptz AS text_expires_at FROM api_keys
        WHERE digest = ANY ($1) AND {_ACTIVE}
        UNION ALL
        SELECT {_COLUMNS}, o.until AS text_expires_at
        FROM (
            SELECT key_id, expires_at AS until FROM previous_api_keys
            WHERE digest = ANY ($1) AND expires_at > $2
        ) o JOIN api_keys ON api_keys.id = o.key_id
        WHERE {_ACTIVE}
        """,
        [key_digest, restricted_digest(key_digest)],
        now,
    )
    return None if row is None else FoundKey(_key(row), row["text_expires_at"])


async def record_uses(db: Database, uses: Mapping[str, datetime]) -> None:
    """Record when keys were used last."""
    await db.execute(
        "UPDATE api_keys k SET last_used_at = u.at FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)"
        " WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)",
        list(uses),
        list(uses.values()),
    )


async def list_keys(db: Database, tenant_id: str | None) -> list[ApiKey]:
    """Return the keys of one tenant or of all, including revoked ones, newest first."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM api_keys WHERE tenant_id = $1 OR $1 IS NULL ORDER BY id DESC", tenant_id
    )
    return [_key(row) for row in rows]


async def fetch_key(db: Database | PoolConnection, key_id: str, *, lock: bool = False) -> ApiKey | None:
    """Return a key; `lock` locks its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM api_keys WHERE id = $1" + (" FOR UPDATE" if lock else ""), key_id
    )
    return None if row is None else _key(row)


async def page_keys(db: Database, tenant_id: str | None, page: PageRequest) -> Listing[ApiKey]:
    """Return a page of the keys of one tenant or of all, including revoked ones, newest first."""
    where = Conditions()
    where.add("tenant_id = {}", tenant_id)
    return (await fetch_page(db, _KEYS, where, page)).map(_key)


async def revoke_key(db: PoolConnection, key_id: str, *, now: datetime) -> ApiKey | None:
    """Revoke a key and return it; one that is revoked already keeps its `revoked_at`."""
    row = await db.fetchrow(
        f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING {_COLUMNS}",
        key_id,
        now,
    )
    return None if row is None else _key(row)


async def rotate_key(db: PoolConnection, key: ApiKey, key_digest: bytes, *, until: datetime) -> None:
    """Give a key, with its new expiry, the digest of a new text; the text before counts until a time."""
    await db.execute(
        "INSERT INTO previous_api_keys (digest, key_id, expires_at)"
        " SELECT digest, id, $2 FROM api_keys WHERE id = $1",
        key.id,
        until,
    )
    await db.execute(
        "UPDATE api_keys SET digest = $2, expires_at = $3 WHERE id = $1",
        key.id,
        _stored_digest(key, key_digest),
        key.expires_at,
    )


async def count_previous(db: PoolConnection, key_id: str, *, now: datetime) -> int:
    """Return how many earlier texts of a key are accepted; delete those that are not any more."""
    await db.execute("DELETE FROM previous_api_keys WHERE key_id = $1 AND expires_at <= $2", key_id, now)
    count: int = await db.fetchval("SELECT count(*) FROM previous_api_keys WHERE key_id = $1", key_id)
    return count


def stored_scopes(scopes: Collection[KeyScope]) -> list[str] | None:
    """Return scopes as they are stored: None for all."""
    return None if scopes == ALL_SCOPES else sorted(scopes)


def _stored_digest(key: ApiKey, key_digest: bytes) -> bytes:
    restricted = key.expires_at is not None or key.scopes != ALL_SCOPES
    return restricted_digest(key_digest) if restricted else key_digest


def _key(row: Record) -> ApiKey:
    others: dict[str, Any] = {"role": ROLES[row["role"]]}
    return struct_from_row(ApiKey, row, **others)


async def fetch_key_name(db: Database | PoolConnection, caller: Caller) -> str | None:
    """Return the name of the caller's key, where the key represents no named user and has a name."""
    if caller.user_id != caller.key_id:
        return None
    name: str | None = await db.fetchval(
        "SELECT nullif(name, '') FROM api_keys WHERE tenant_id = $1 AND id = $2",
        caller.tenant_id,
        caller.key_id,
    )
    return name
