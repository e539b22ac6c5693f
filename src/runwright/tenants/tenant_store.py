"""The SQL of tenants."""

from datetime import datetime, timedelta
from typing import Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.tenants.model import Tenant, TenantFilter, TenantLimits, TenantStatus

_LIMITS: Final = TenantLimits.__struct_fields__
_COLUMNS: Final = ", ".join(("id", "name", "status", "status_reason", *_LIMITS, "created_at", "updated_at"))
_LISTED: Final = Rows(columns=_COLUMNS, table="tenants")
_LATE_COMMIT: Final = timedelta(minutes=1)
"""A change may be committed this long after the moment that it says."""


async def insert_tenant(db: PoolConnection, tenant: Tenant) -> bool:
    """Insert a tenant; False where it is there already."""
    inserted = await db.fetchval(
        f"INSERT INTO tenants ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"  # noqa: S608
        " ON CONFLICT DO NOTHING RETURNING true",
        *_values(tenant),
    )
    return inserted is not None


async def update_tenant(db: PoolConnection, tenant: Tenant) -> None:
    """Write a tenant that the same transaction has locked."""
    await db.execute(
        f"UPDATE tenants SET ({_COLUMNS}) = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12),"  # noqa: S608
        " changed_at = clock_timestamp() WHERE id = $1",
        *_values(tenant),
    )


async def fetch_tenant(db: Database | PoolConnection, tenant_id: str, *, lock: bool = False) -> Tenant | None:
    """Return a tenant; `lock` holds its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM tenants WHERE id = $1" + (" FOR UPDATE" if lock else ""),  # noqa: S608
        tenant_id,
    )
    return None if row is None else _tenant(row)


async def list_tenants(db: Database, which: TenantFilter, page: PageRequest) -> Listing[Tenant]:
    """Return a page of the tenants, by id, descending."""
    where = Conditions()
    where.add("status = {}", which.status)
    where.add("strpos(lower(id || ' ' || coalesce(name, '')), lower({})) > 0", which.contains)
    return (await fetch_page(db, _LISTED, where, page)).map(_tenant)


async def changed_tenants(db: Database, *, since: datetime | None) -> tuple[list[Tenant], datetime]:
    """Return who was changed since then, or (None) who is not as tenants usually are.

    Also returns from when on to look the next time. Some changes are returned more than once; one
    whose transaction took long is not overlooked.
    """
    columns = f"{_COLUMNS}, clock_timestamp() AS looked_at"
    unusual = " OR ".join(("status <> 'active'", *(f"{name} IS NOT NULL" for name in _LIMITS)))
    rows = await db.fetch(
        f"SELECT {columns} FROM (SELECT true) AS always LEFT JOIN tenants"  # noqa: S608
        f" ON CASE WHEN $1::timestamptz IS NULL THEN {unusual} ELSE changed_at >= $1 END",
        since,
    )
    looked_at: datetime = rows[0]["looked_at"]
    return [_tenant(row) for row in rows if row["id"] is not None], looked_at - _LATE_COMMIT


def _values(tenant: Tenant) -> list[object]:
    limits = (getattr(tenant.limits, name) for name in _LIMITS)
    return [
        *(tenant.id, tenant.name, tenant.status, tenant.status_reason),
        *limits,
        *(tenant.created_at, tenant.updated_at),
    ]


def _tenant(row: Record) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        status=TenantStatus(row["status"]),
        status_reason=row["status_reason"],
        limits=TenantLimits(**{name: row[name] for name in _LIMITS}),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
