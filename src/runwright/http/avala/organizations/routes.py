"""The routes of organizations, which clients use to check a key."""

import uuid
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.core.errors import NotFoundError
from runwright.core.roles import ROLES
from runwright.http.avala.authorization import READS
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.fields import Uid
from runwright.http.avala.requests import Page
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVALA, f"{PREFIX}/organizations", tag="Organizations")

_TENANTS: Final = uuid.UUID("6f1f6f0c-9b0a-5d5e-8b57-0d6c2f6f3a11")
"""The namespace of the UUIDs of tenants, which have names everywhere else."""


class OrganizationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    uid: Uid
    name: str
    slug: str
    role: Annotated[str, Meta(extra_json_schema={"enum": list(ROLES)})]
    is_active: bool = True


def _organization_out(request: Request) -> OrganizationOut:
    tenant_id = request.tenant_id
    uid = str(uuid.uuid5(_TENANTS, tenant_id))
    return OrganizationOut(uid=uid, name=tenant_id, slug=tenant_id, role=request.caller.role.wire_name)


@ROUTES.add("GET", "", READS, "List organizations")
async def list_organizations(request: Request) -> Page[OrganizationOut]:
    """There is one: the one that the key belongs to."""
    return Page(None, None, [_organization_out(request)])


@ROUTES.add("GET", "/{slug}", READS, "Get an organization", errors=(404,))
async def get_organization(request: Request) -> OrganizationOut:
    if request.params["slug"] != request.tenant_id:
        raise NotFoundError("There is no such organization.")
    return _organization_out(request)
