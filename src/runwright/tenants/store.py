"""SQL of tenants."""

from datetime import datetime, timedelta
from typing import Any, Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row, update_row
from runwright.tenants.model import Tenant, TenantFilter, TenantLimits

_LIMITS: Final = TenantLimits.__struct_fields__
_TENANT_COLUMNS: Final = f"{column_list(Tenant, without=('limits',))}, {column_list(TenantLimits)}"
_TENANTS: Final = Rows(columns=_TENANT_COLUMNS, table="tenants")
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
