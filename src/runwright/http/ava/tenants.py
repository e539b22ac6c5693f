"""The routes of tenants, at `/v1/tenants`: for the operator alone."""

from typing import Final

from litestar import Controller, get, patch, post
from litestar.params import FromPath

from runwright.core.errors import NotFoundError
from runwright.http.ava.auth import OPERATES, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import read_tenant_page, show_page
from runwright.http.ava.tenant_forms import (
    CHANGE_TENANT,
    CREATE_TENANT,
    LIST_TENANTS,
    ChangeTenantBody,
    CreateTenantBody,
    TenantQuery,
    TenantWire,
    new_tenant,
    tenant_changes,
    tenant_filter,
    tenant_wire,
)
from runwright.http.ava.wire import Data, Page
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.tenants.model import Tenant, TenantChanges, TenantStatus, is_tenant_id

_TAG: Final = "Tenants"


def _known(tenant_id: str) -> str:
    """Spare the store what cannot be an id."""
    if not is_tenant_id(tenant_id):
        raise NotFoundError("There is no such tenant.")
    return tenant_id


def _shown(request: AvaRequest, tenant: Tenant) -> TenantWire:
    return tenant_wire(tenant, tenant.limits.within(services_of(request).standings.usual))


async def _body(request: AvaRequest) -> bytes:
    return await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)


class TenantRoutes(Controller):
    """Whose things nobody else sees. They exist from their first write on, made or not."""

    path = "/tenants"

    @get(
        "/", guards=[OPERATES], opt=Operation("List tenants", tag=_TAG, query=TenantQuery, errors=(422,)).opt
    )
    async def list_tenants(self, request: AvaRequest) -> Page[TenantWire]:
        """By id, descending."""
        query = LIST_TENANTS.read_query(request.scope["query_string"])
        page = read_tenant_page(query)
        listing = await services_of(request).tenants.list(tenant_filter(query), page)
        return Page([_shown(request, tenant) for tenant in listing.rows], show_page(listing, page))

    @post(
        "/",
        guards=[OPERATES],
        opt=Operation(
            "Create a tenant",
            tag=_TAG,
            body=CreateTenantBody,
            errors=(409, 422),
            example={"id": "ten_acme", "name": "Acme", "limits": {"queued_jobs": 10000}},
        ).opt,
    )
    async def create_tenant(self, request: AvaRequest) -> Data[TenantWire]:
        """Only needed to name or limit one before it does anything."""
        NO_QUERY.read_query(request.scope["query_string"])
        new = new_tenant(CREATE_TENANT.read_json(await _body(request)))
        return Data(_shown(request, await services_of(request).tenants.create(request.user, new)))

    @get(
        "/{tenant_id:str}", guards=[OPERATES], opt=Operation("Get a tenant", tag=_TAG, errors=(404, 422)).opt
    )
    async def get_tenant(self, request: AvaRequest, tenant_id: FromPath[str]) -> Data[TenantWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(_shown(request, await services_of(request).tenants.get(_known(tenant_id))))

    @patch(
        "/{tenant_id:str}",
        guards=[OPERATES],
        opt=Operation(
            "Change a tenant",
            tag=_TAG,
            body=ChangeTenantBody,
            errors=(404, 422),
            example={"limits": {"requests_per_second": 50, "request_burst": 500}},
        ).opt,
    )
    async def change_tenant(self, request: AvaRequest, tenant_id: FromPath[str]) -> Data[TenantWire]:
        """Its name and its limits; also `status`, as the two routes below set it."""
        NO_QUERY.read_query(request.scope["query_string"])
        changes = tenant_changes(CHANGE_TENANT.read_json(await _body(request)))
        return await self._change(request, tenant_id, changes)

    @post(
        "/{tenant_id:str}/suspend",
        guards=[OPERATES],
        status_code=200,
        opt=Operation("Suspend a tenant", tag=_TAG, errors=(404, 422)).opt,
    )
    async def suspend_tenant(self, request: AvaRequest, tenant_id: FromPath[str]) -> Data[TenantWire]:
        """Within two seconds all of its calls answer 403 `tenant_suspended`, and none of its jobs starts.

        Jobs that run go on; schedules record that they were skipped; deliveries wait.
        """
        NO_QUERY.read_query(request.scope["query_string"])
        return await self._change(request, tenant_id, TenantChanges(status=TenantStatus.SUSPENDED))

    @post(
        "/{tenant_id:str}/reactivate",
        guards=[OPERATES],
        status_code=200,
        opt=Operation("Let a tenant work again", tag=_TAG, errors=(404, 422)).opt,
    )
    async def reactivate_tenant(self, request: AvaRequest, tenant_id: FromPath[str]) -> Data[TenantWire]:
        """What waited goes on."""
        NO_QUERY.read_query(request.scope["query_string"])
        return await self._change(request, tenant_id, TenantChanges(status=TenantStatus.ACTIVE))

    async def _change(self, request: AvaRequest, tenant_id: str, changes: TenantChanges) -> Data[TenantWire]:
        tenants = services_of(request).tenants
        return Data(_shown(request, await tenants.change(request.user, _known(tenant_id), changes)))
