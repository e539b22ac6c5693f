"""The operator's management of tenants: create, rename, limit, suspend and reactivate them.

Creating a tenant is optional: its first write creates it. While a tenant is suspended, its requests
are refused, its queued jobs do not start (running ones continue), its schedules record their ticks
as skipped, and its deliveries wait.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.core.struct_fields import set_fields
from runwright.db.pool import Database
from runwright.tenants import store
from runwright.tenants.audit import record
from runwright.tenants.model import (
    NewTenant,
    Tenant,
    TenantChanges,
    TenantFilter,
    TenantStatus,
    is_tenant_id,
)

TEXT_LENGTH: Final = 200


async def _no_cache() -> None:
    """Do nothing: there is no cache to refresh."""


class Tenants:
    """All tenants. Methods return after their changes are committed."""

    def __init__(
        self, db: Database, *, clock: Clock, on_change: Callable[[], Awaitable[None]] = _no_cache
    ) -> None:
        """`on_change` is awaited after each change; it refreshes the cache of this process."""
        self._db = db
        self._clock = clock
        self._on_change = on_change

    async def create(self, caller: Caller, new: NewTenant) -> Tenant:
        """Create a tenant. ConflictError if the id exists."""
        now = self._clock()
        tenant = Tenant(
            id=new.id or new_id("ten", now),
            name=new.name,
            status=TenantStatus.ACTIVE,
            status_reason=None,
            limits=new.limits,
            created_at=now,
            updated_at=now,
        )
        _check(tenant)
        async with self._db.acquire() as db, db.transaction():
            if not await store.insert_tenant(db, tenant):
                raise ConflictError(f"The tenant {tenant.id} exists already.")
            await record(db, caller, "tenant.create", tenant.id, tenant_id=tenant.id, after=tenant, now=now)
        await self._on_change()
        return tenant

    async def get(self, tenant_id: str) -> Tenant:
        """Return one tenant."""
        return _found(await store.fetch_tenant(self._db, tenant_id), tenant_id)

    async def list(self, which: TenantFilter, page: PageRequest) -> Listing[Tenant]:
        """Return a page of all tenants in descending order of their ids."""
        return await store.list_tenants(self._db, which, page)

    async def change(self, caller: Caller, tenant_id: str, changes: TenantChanges) -> Tenant:
        """Update a tenant: its name, its limits, or whether it is suspended."""
        async with self._db.acquire() as db, db.transaction():
            tenant = _found(await store.fetch_tenant(db, tenant_id, lock=True), tenant_id)
            changed = _apply(tenant, changes)
            if changed == tenant:
                return tenant
            changed = msgspec.structs.replace(changed, updated_at=max(self._clock(), tenant.updated_at))
            _check(changed)
            await store.update_tenant(db, changed)
            await record(
                db,
                caller,
                _action(tenant, changed),
                tenant_id,
                tenant_id=tenant_id,
                before=tenant,
                after=changed,
                now=changed.updated_at,
            )
        await self._on_change()
        return changed


def _apply(tenant: Tenant, changes: TenantChanges) -> Tenant:
    limits = msgspec.structs.replace(tenant.limits, **set_fields(changes.limits))
    changed = msgspec.structs.replace(tenant, **(set_fields(changes) | {"limits": limits}))
    if changed.status is TenantStatus.ACTIVE:
        changed = msgspec.structs.replace(changed, status_reason=None)
    return changed


def _action(before: Tenant, after: Tenant) -> str:
    if before.status is after.status:
        return "tenant.change"
    return "tenant.suspend" if after.status is TenantStatus.SUSPENDED else "tenant.reactivate"


def _check(tenant: Tenant) -> None:
    problems: dict[str, list[str]] = {}
    if not is_tenant_id(tenant.id):
        problems["id"] = ["Must be 1 to 128 letters, digits, '_', '.' or '-'."]
    for name in ("name", "status_reason"):
        text = getattr(tenant, name)
        if text is not None and (len(text) > TEXT_LENGTH or "\0" in text):
            problems[name] = [f"Must be at most {TEXT_LENGTH} characters, without NUL."]
    if problems:
        raise InvalidError(problems)


def _found(tenant: Tenant | None, tenant_id: str) -> Tenant:
    if tenant is None:
        raise NotFoundError(f"There is no tenant {tenant_id}.")
    return tenant
