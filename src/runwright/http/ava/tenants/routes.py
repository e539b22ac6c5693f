"""The routes of tenants, at `/v1/tenants`, which only the operator may call."""

from typing import Final

from runwright.core.errors import NotFoundError
from runwright.http.ava.authorization import OPERATES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, page_of, read_tenant_page
from runwright.http.ava.tenants.schemas import (
    CHANGE_TENANT,
    CREATE_TENANT,
    LIST_TENANTS,
    TenantIn,
    TenantOut,
    TenantPatch,
    TenantQuery,
    new_tenant,
    tenant_changes,
    tenant_filter,
    tenant_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.tenants.model import Tenant, TenantChanges, TenantStatus, is_tenant_id

ROUTES: Final = Routes(AVA, "/v1/tenants", tag="Tenants")


@ROUTES.add("GET", "", OPERATES, "List tenants", query=TenantQuery, errors=(422,))
async def list_tenants(request: Request) -> Page[TenantOut]:
    """By id, descending."""
    query = request.query(LIST_TENANTS)
    page = read_tenant_page(query)
    listing = await request.services.tenants.list(tenant_filter(query), page)
    return page_of(listing, page, lambda tenant: _shown(request, tenant))


@ROUTES.add(
    "POST",
    "",
    OPERATES,
    "Create a tenant",
    body=TenantIn,
    errors=(409, 422),
    example={"id": "ten_acme", "name": "Acme", "limits": {"queued_jobs": 10000}},
)
async def create_tenant(request: Request) -> Data[TenantOut]:
    """Only needed to name or limit one before it does anything."""
    new = new_tenant(await request.body(CREATE_TENANT))
    return Data(_shown(request, await request.services.tenants.create(request.caller, new)))


@ROUTES.add("GET", "/{tenant_id}", OPERATES, "Get a tenant", errors=(404, 422))
async def get_tenant(request: Request) -> Data[TenantOut]:
    return Data(_shown(request, await request.services.tenants.get(_tenant_id(request))))


@ROUTES.add(
    "PATCH",
    "/{tenant_id}",
    OPERATES,
    "Change a tenant",
    body=TenantPatch,
    errors=(404, 422),
    example={"limits": {"requests_per_second": 50, "request_burst": 500}},
)
async def change_tenant(request: Request) -> Data[TenantOut]:
    """Its name and its limits; also `status`, as the two routes below set it."""
    return await _change(request, tenant_changes(await request.body(CHANGE_TENANT)))


@ROUTES.add("POST", "/{tenant_id}/suspend", OPERATES, "Suspend a tenant", status=200, errors=(404, 422))
async def suspend_tenant(request: Request) -> Data[TenantOut]:
    """Within two seconds all of its calls answer 403 `tenant_suspended`, and none of its jobs starts.

    Jobs that run go on; schedules record that they were skipped; deliveries wait.
    """
    return await _change(request, TenantChanges(status=TenantStatus.SUSPENDED))


@ROUTES.add(
    "POST", "/{tenant_id}/reactivate", OPERATES, "Let a tenant work again", status=200, errors=(404, 422)
)
async def reactivate_tenant(request: Request) -> Data[TenantOut]:
    """What was waiting continues."""
    return await _change(request, TenantChanges(status=TenantStatus.ACTIVE))


def _tenant_id(request: Request) -> str:
    tenant_id = request.params["tenant_id"]
    if not is_tenant_id(tenant_id):
        raise NotFoundError("There is no such tenant.")
    return tenant_id


def _shown(request: Request, tenant: Tenant) -> TenantOut:
    return tenant_out(tenant, tenant.limits.with_defaults(request.services.tenant_status.default_limits))


async def _change(request: Request, changes: TenantChanges) -> Data[TenantOut]:
    tenants = request.services.tenants
    return Data(_shown(request, await tenants.change(request.caller, _tenant_id(request), changes)))
