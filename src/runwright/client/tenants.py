"""`rw.tenants` and `rw.audit`, for the operator, and `rw.keys`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Unpack

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.tenants import (
    AuditInfo,
    AuditListing,
    KeyInfo,
    RoleName,
    TenantInfo,
    TenantLimitFields,
    TenantUpdate,
    TokenInfo,
    UsageInfo,
)
from runwright.client.pagination import PAGE_ROWS, PageSource, Results, filters

KeyScopeName = Literal["read", "run", "deploy", "admin"]


class KeysApi(DualMode[M]):
    """API keys: those of the tenant; with a platform key those of all tenants."""

    def list(self, *, tenant_id: str | None = None) -> Results[M, KeyInfo]:
        """Return keys without their text, newest first, revoked ones too."""
        query = {"filter[tenant_id]": tenant_id, "per_page": PAGE_ROWS}
        return Results(self._session, PageSource(into=KeyInfo, route="GET /v1/keys", query=query))

    @call
    async def get(self, key_id: str) -> KeyInfo:
        """Return a key without its text."""
        return await self._session.read(KeyInfo, "GET /v1/keys/{key_id}", key_id)

    @call
    async def revoke(self, key_id: str) -> KeyInfo:
        """Revoke a key for good; all servers refuse it within two seconds."""
        return await self._session.read(KeyInfo, "DELETE /v1/keys/{key_id}", key_id)

    @call
    async def create(
        self,
        role: RoleName,
        *,
        name: str = "",
        tenant_id: str | None = None,
        scopes: Sequence[KeyScopeName] | None = None,
        expires_at: datetime | None = None,
    ) -> KeyInfo:
        """Create a key. Its text is in the result, and never again."""
        optional = {"tenant_id": tenant_id, "scopes": scopes, "expires_at": expires_at}
        given = {field: value for field, value in optional.items() if value is not None}
        return await self._session.read(KeyInfo, "POST /v1/keys", json={"role": role, "name": name, **given})

    @call
    async def rotate(self, key_id: str, *, overlap_seconds: int = 86_400) -> KeyInfo:
        """Give a key a new text, which is in the result; the one before is accepted for the overlap."""
        route = "POST /v1/keys/{key_id}/rotate"
        return await self._session.read(KeyInfo, route, key_id, json={"overlap_seconds": overlap_seconds})

    @call
    async def create_token(self, *, ttl_seconds: int | None = None) -> TokenInfo:
        """Create a short-lived token that may be sent in place of a key, and only reads."""
        body = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}
        return await self._session.read(TokenInfo, "POST /v1/tokens", json=body)

    @call
    async def create_sign_in_link(self) -> TokenInfo:
        """Create a link that signs a browser in, once."""
        return await self._session.read(TokenInfo, "POST /v1/session/links")


class TenantsApi(DualMode[M]):
    """All tenants, for the operator; of a tenant its own usage."""

    def list(self, *, q: str | None = None, status: str | None = None) -> Results[M, TenantInfo]:
        """Return tenants by id, descending."""
        query = {"q": q, "filter[status]": status, "per_page": PAGE_ROWS}
        return Results(self._session, PageSource(into=TenantInfo, route="GET /v1/tenants", query=query))

    @call
    async def get(self, tenant_id: str) -> TenantInfo:
        """Return a tenant."""
        return await self._session.read(TenantInfo, "GET /v1/tenants/{tenant_id}", tenant_id)

    @call
    async def create(
        self, tenant_id: str | None = None, *, name: str | None = None, **limits: Unpack[TenantLimitFields]
    ) -> TenantInfo:
        """Create a tenant; only needed to name or limit it before it does anything."""
        body: dict[str, object] = {} if tenant_id is None else {"id": tenant_id}
        body |= {"name": name} | ({"limits": limits} if limits else {})
        return await self._session.read(TenantInfo, "POST /v1/tenants", json=body)

    @call
    async def update(self, tenant_id: str, **changes: Unpack[TenantUpdate]) -> TenantInfo:
        """Change the given fields of a tenant; limits are merged one by one."""
        return await self._session.read(TenantInfo, "PATCH /v1/tenants/{tenant_id}", tenant_id, json=changes)

    @call
    async def suspend(self, tenant_id: str) -> TenantInfo:
        """Refuse a tenant's calls, and start none of its jobs."""
        return await self._session.read(TenantInfo, "POST /v1/tenants/{tenant_id}/suspend", tenant_id)

    @call
    async def reactivate(self, tenant_id: str) -> TenantInfo:
        """Let a suspended tenant work again."""
        return await self._session.read(TenantInfo, "POST /v1/tenants/{tenant_id}/reactivate", tenant_id)

    @call
    async def usage(self, tenant_id: str) -> UsageInfo:
        """Return how much of each quota a tenant uses."""
        return await self._session.read(UsageInfo, "GET /v1/tenants/{tenant_id}/usage", tenant_id)


class AuditApi(DualMode[M]):
    """The audit log: of the tenant; with a platform key of all tenants."""

    def list(self, **listing: Unpack[AuditListing]) -> Results[M, AuditInfo]:
        """Return entries, newest first."""
        return Results(
            self._session, PageSource(into=AuditInfo, route="GET /v1/audit", query=filters(listing))
        )
