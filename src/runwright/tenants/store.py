"""SQL of tenants and API keys."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import ROLES, Caller
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row, update_row
from runwright.tenants.model import ApiKey, Tenant, TenantFilter, TenantLimits

_LIMITS: Final = TenantLimits.__struct_fields__
_TENANT_COLUMNS: Final = f"{column_list(Tenant, without=('limits',))}, {column_list(TenantLimits)}"
_TENANTS: Final = Rows(columns=_TENANT_COLUMNS, table="tenants")
_KEY_COLUMNS: Final = column_list(ApiKey)
_KEYS: Final = Rows(columns=_KEY_COLUMNS, table="api_keys")
_LATE_COMMIT: Final = timedelta(minutes=1)
"""A change may be committed this long after its `changed_at`."""


async def insert_tenant(db: PoolConnection, tenant: Tenant) -> bool:
    """Insert a tenant; return False if it exists."""
    return await insert_row(db, "tenants", _row(tenant), "ON CONFLICT DO NOTHING")


async def update_tenant(db: PoolConnection, tenant: Tenant) -> None:
    """Update a tenant whose row is locked by this transaction."""
    await update_row(db, "tenants", _row(tenant), changed_at="clock_timestamp()")


async def fetch_tenant(db: Database | PoolConnection, tenant_id: str, *, lock: bool = False) -> Tenant | None:
    """Return a tenant; `lock` locks its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_TENANT_COLUMNS} FROM tenants WHERE id = $1" + (" FOR UPDATE" if lock else ""), tenant_id
    )
    return None if row is None else _tenant(row)


async def list_tenants(db: Database, which: TenantFilter, page: PageRequest) -> Listing[Tenant]:
    """Return a page of the tenants in descending order of their ids."""
    where = Conditions()
    where.add("status = {}", which.status)
    where.add("strpos(lower(id || ' ' || coalesce(name, '')), lower({})) > 0", which.contains)
    return (await fetch_page(db, _TENANTS, where, page)).map(_tenant)


async def changed_tenants(db: Database, *, since: datetime | None) -> tuple[list[Tenant], datetime]:
    """Return the tenants changed since a time, or (None) all that are suspended or have own limits.

    Also returns the time to pass to the next call. It is early enough to include changes of
    transactions that commit late, so that some changes are returned more than once.
    """
    special = " OR ".join(("status <> 'active'", *(f"{name} IS NOT NULL" for name in _LIMITS)))
    rows = await db.fetch(
        f"SELECT {_TENANT_COLUMNS}, clock_timestamp() AS read_at FROM (SELECT true) AS always"
        f" LEFT JOIN tenants ON CASE WHEN $1::timestamptz IS NULL THEN {special} ELSE changed_at >= $1 END",
        since,
    )
    read_at: datetime = rows[0]["read_at"]
    return [_tenant(row) for row in rows if row["id"] is not None], read_at - _LATE_COMMIT


def _row(tenant: Tenant) -> dict[str, Any]:
    return row_of(tenant, without=("limits",)) | row_of(tenant.limits)


def _tenant(row: Record) -> Tenant:
    return struct_from_row(Tenant, row, limits=struct_from_row(TenantLimits, row))


async def insert_key(db: PoolConnection, key: ApiKey, key_digest: bytes) -> None:
    await insert_row(db, "api_keys", row_of(key) | {"role": key.role.wire_name, "digest": key_digest})


async def use_key(db: Database, key_digest: bytes, *, now: datetime, every: timedelta) -> ApiKey | None:
    """Return the active key with this digest; update its `last_used_at` at most once in `every`."""
    row = await db.fetchrow(
        f"SELECT {_KEY_COLUMNS} FROM api_keys WHERE digest = $1 AND revoked_at IS NULL", key_digest
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


async def valid_keys(db: Database, key_ids: Collection[str]) -> set[str]:
    """Return which of these keys are active."""
    rows = await db.fetch("SELECT id FROM api_keys WHERE id = ANY ($1) AND revoked_at IS NULL", list(key_ids))
    return {row["id"] for row in rows}


async def list_keys(db: Database, tenant_id: str | None) -> list[ApiKey]:
    """Return the keys of one tenant or of all, including revoked ones, newest first."""
    rows = await db.fetch(
        f"SELECT {_KEY_COLUMNS} FROM api_keys WHERE tenant_id = $1 OR $1 IS NULL ORDER BY id DESC", tenant_id
    )
    return [_key(row) for row in rows]


async def fetch_key(db: Database | PoolConnection, key_id: str, *, lock: bool = False) -> ApiKey | None:
    """Return a key; `lock` locks its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_KEY_COLUMNS} FROM api_keys WHERE id = $1" + (" FOR UPDATE" if lock else ""), key_id
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
        f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING {_KEY_COLUMNS}",
        key_id,
        now,
    )
    return None if row is None else _key(row)


def _key(row: Record) -> ApiKey:
    return struct_from_row(ApiKey, row, role=ROLES[row["role"]])


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
