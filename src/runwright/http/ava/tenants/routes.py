"""The routes of tenants, at `/v1/tenants`, which the operator may call.

A tenant may see its own usage.
"""

from typing import Final

from runwright.core.errors import NotFoundError
from runwright.http.ava.authorization import LOOKS_UP, OPERATES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, filter_of, page_of, read_tenant_page
from runwright.http.ava.tenants.schemas import (
    CHANGE_TENANT,
    CREATE_TENANT,
    LIST_TENANTS,
    TenantIn,
    TenantOut,
    TenantPatch,
    TenantQuery,
    UsageOut,
    new_tenant,
    tenant_changes,
    tenant_out,
    usage_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.tenants.model import Tenant, TenantChanges, TenantFilter, TenantStatus, is_tenant_id

ROUTES: Final = Routes(AVA, "/v1/tenants", tag="Tenants")


@ROUTES.add("GET", "", OPERATES, "List tenants", query=TenantQuery, errors=(422,))
async def list_tenants(request: Request) -> Page[TenantOut]:
    """Returns tenants by id, descending."""
    query = request.query(LIST_TENANTS)
    page = read_tenant_page(query)
    listing = await request.services.tenancy.tenants.list(
        filter_of(TenantFilter, query, contains=query.q or None), page
    )
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
    """Creates a tenant, to set its name and limits in advance. Else it is created by its first write."""
    new = new_tenant(await request.body(CREATE_TENANT))
    return Data(_shown(request, await request.services.tenancy.tenants.create(request.caller, new)))


@ROUTES.add("GET", "/{tenant_id}", OPERATES, "Get a tenant", errors=(404, 422))
async def get_tenant(request: Request) -> Data[TenantOut]:
    return Data(_shown(request, await request.services.tenancy.tenants.get(_tenant_id(request))))


@ROUTES.add(
    "PATCH",
    "/{tenant_id}",
    OPERATES,
    "Update a tenant",
    body=TenantPatch,
    errors=(404, 422),
    example={"limits": {"requests_per_second": 50, "request_burst": 500}},
)
async def change_tenant(request: Request) -> Data[TenantOut]:
    """Updates its name, its limits or its status; `status` has the effect of the two routes below."""
    return await _change(request, tenant_changes(await request.body(CHANGE_TENANT)))


@ROUTES.add("GET", "/{tenant_id}/usage", LOOKS_UP, "Get the usage of a tenant", errors=(404, 422))
async def show_usage(request: Request) -> Data[UsageOut]:
    """Returns how much of each quota is used: of the caller's own tenant, or, for the operator, of any."""
    tenant_id = _tenant_id(request)
    if tenant_id != request.tenant_id:
        if not request.caller.sees_all_tenants:
            raise NotFoundError("There is no such tenant.")
        await request.services.tenancy.tenants.get(tenant_id)
    limits = request.services.tenancy.status.limits_of(tenant_id)
    return Data(usage_out(tenant_id, await request.services.tenancy.usage.usage(tenant_id), limits))


@ROUTES.add("POST", "/{tenant_id}/suspend", OPERATES, "Suspend a tenant", status=200, errors=(404, 422))
async def suspend_tenant(request: Request) -> Data[TenantOut]:
    """Refuses all of its requests within two seconds, with 403 `tenant_suspended`; none of its jobs starts.

    Running jobs continue; schedules record skipped ticks; deliveries wait.
    """
    return await _change(request, TenantChanges(status=TenantStatus.SUSPENDED))


@ROUTES.add("POST", "/{tenant_id}/reactivate", OPERATES, "Reactivate a tenant", status=200, errors=(404, 422))
async def reactivate_tenant(request: Request) -> Data[TenantOut]:
    """Accepts its requests again; jobs and deliveries that were waiting continue."""
    return await _change(request, TenantChanges(status=TenantStatus.ACTIVE))


def _tenant_id(request: Request) -> str:
    tenant_id = request.params["tenant_id"]
    if not is_tenant_id(tenant_id):
        raise NotFoundError("There is no such tenant.")
    return tenant_id


def _shown(request: Request, tenant: Tenant) -> TenantOut:
    return tenant_out(tenant, request.services.tenancy.status.default_limits)


async def _change(request: Request, changes: TenantChanges) -> Data[TenantOut]:
    tenants = request.services.tenancy.tenants
    return Data(_shown(request, await tenants.change(request.caller, _tenant_id(request), changes)))
