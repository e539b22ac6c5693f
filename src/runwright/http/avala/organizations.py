"""The organization of a key: what clients ask for to see whether the key is good."""

import uuid
from typing import Final

import msgspec
from litestar import Controller, get
from litestar.params import FromPath

from runwright.core.errors import NotFoundError
from runwright.http.avala.auth import READS, AvalaRequest
from runwright.http.avala.paging import Page
from runwright.http.avala.wire import Uid
from runwright.http.operations import Operation

_TAG: Final = "Organizations"
_TENANTS: Final = uuid.UUID("6f1f6f0c-9b0a-5d5e-8b57-0d6c2f6f3a11")
"""The namespace of the UUIDs that tenants have here: they are known by name everywhere else."""


class OrganizationWire(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    uid: Uid
    name: str
    slug: str
    role: str
    is_active: bool = True


def _organization(request: AvalaRequest) -> OrganizationWire:
    tenant_id = request.user.tenant_id
    uid = str(uuid.uuid5(_TENANTS, tenant_id))
    return OrganizationWire(uid=uid, name=tenant_id, slug=tenant_id, role=request.user.role.wire_name)


class OrganizationRoutes(Controller):
    """One organization: the key's."""

    path = "/organizations"

    @get("/", guards=[READS], opt=Operation("List organizations", tag=_TAG).opt)
    async def list_organizations(self, request: AvalaRequest) -> Page[OrganizationWire]:
        """There is one: the one that the key belongs to."""
        return Page(None, None, [_organization(request)])

    @get("/{slug:str}", guards=[READS], opt=Operation("Get an organization", tag=_TAG, errors=(404,)).opt)
    async def get_organization(self, request: AvalaRequest, slug: FromPath[str]) -> OrganizationWire:
        if slug != request.user.tenant_id:
            raise NotFoundError("There is no such organization.")
        return _organization(request)
