"""Tenants, as the operator uses them: made, named, limited, suspended and let work again.

A tenant exists from its first write on without being made; what is done here is only ever
about it. While it is suspended its calls are refused, none of its jobs starts (those that run go
on), its schedules skip their ticks and record it, and its deliveries wait.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import new_id
from runwright.core.paging import Listing, PageRequest
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.tenants import tenant_store as store
from runwright.tenants.audit import record
from runwright.tenants.model import (
    NewTenant,
    Tenant,
    TenantChanges,
    TenantFilter,
    TenantLimits,
    TenantStatus,
    is_tenant_id,
)

TEXT_LENGTH: Final = 200


async def _tell_nobody() -> None:
    """Nobody remembers tenants here."""


class Tenants:
    """All tenants. A call returns after what it did is committed."""

    def __init__(
        self, db: Database, *, clock: Clock, on_change: Callable[[], Awaitable[None]] = _tell_nobody
    ) -> None:
        """`on_change` is awaited after a change, so that this process knows of it at once."""
        self._db = db
        self._clock = clock
        self._on_change = on_change

    async def create(self, caller: Caller, new: NewTenant) -> Tenant:
        """Make a tenant. ConflictError where there is one of that id."""
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
                raise ConflictError(f"There is a tenant {tenant.id} already.")
            await record(db, caller, "tenant.create", tenant.id, tenant_id=tenant.id, after=tenant, now=now)
        await self._on_change()
        return tenant

    async def get(self, tenant_id: str) -> Tenant:
        """Return one tenant."""
        return _there(await store.fetch_tenant(self._db, tenant_id), tenant_id)

    async def list(self, which: TenantFilter, page: PageRequest) -> Listing[Tenant]:
        """Return a page of all tenants, by id, descending."""
        return await store.list_tenants(self._db, which, page)

    async def change(self, caller: Caller, tenant_id: str, changes: TenantChanges) -> Tenant:
        """Change a tenant: name and limits, or whether it is suspended."""
        async with self._db.acquire() as db, db.transaction():
            tenant = _there(await store.fetch_tenant(db, tenant_id, lock=True), tenant_id)
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
    values: dict[str, Any] = {}
    for name in ("name", "status", "status_reason"):
        value = getattr(changes, name)
        if value is not msgspec.UNSET:
            values[name] = value
    limits = {
        name: value
        for name in TenantLimits.__struct_fields__
        if (value := getattr(changes.limits, name)) is not msgspec.UNSET
    }
    changed = msgspec.structs.replace(
        tenant, **values, limits=msgspec.structs.replace(tenant.limits, **limits)
    )
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


def _there(tenant: Tenant | None, tenant_id: str) -> Tenant:
    if tenant is None:
        raise NotFoundError(f"There is no tenant {tenant_id}.")
    return tenant
