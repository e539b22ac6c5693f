"""The routes and schemas of API keys, at `/v1/keys`. The text of a key is shown once, when it is created."""

from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.roles import ROLES
from runwright.http.ava.authorization import ADMINISTERS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, PageQuery, Time, known_id, optional, page_of, read_page
from runwright.http.ava.tenants.routes import TenantId, Text
from runwright.http.fields import storable_text, to_out
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.http.validation import Validator
from runwright.tenants.model import ApiKey

RoleName = Literal["tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin"]


class KeyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to create."""

    openapi_name: ClassVar[str] = "CreateKeyBody"

    role: Annotated[RoleName, Meta(description="The highest role it may take; not above your own.")]
    name: Annotated[Text, Meta(description="The name of the key, for people.")] = ""
    tenant_id: TenantId | UnsetType = UNSET


class KeyQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    tenant_id: (
        Annotated[
            TenantId,
            Meta(description="Only keys of this tenant; others than the caller's need a platform key."),
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[tenant_id]")


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text."""

    id: Annotated[str, Meta(description="`key_` and a lower-case ULID.")]
    tenant_id: str
    role: RoleName
    name: str
    created_at: Time
    last_used_at: Annotated[Time | None, Meta(description="When it was last used, to the minute.")]
    revoked_at: Time | None


class NewKeyOut(KeyOut, frozen=True, kw_only=True):
    """A new key with its text."""

    key: Annotated[str, Meta(description="The text of the key; it is not shown again.")]


CREATE_KEY: Final = Validator(KeyIn, {"name": storable_text})
LIST_KEYS: Final = Validator(KeyQuery)


def key_out(key: ApiKey) -> KeyOut:
    return to_out(KeyOut, key, role=key.role.wire_name)


ROUTES: Final = Routes(AVA, "/v1/keys", tag="Keys")


@ROUTES.add("GET", "", ADMINISTERS, "List keys", query=KeyQuery, errors=(422,))
async def list_keys(request: Request) -> Page[KeyOut]:
    """Returns keys newest first, including revoked ones.

    A platform key in the role `platform-admin` sees those of all tenants.
    """
    query = request.query(LIST_KEYS)
    page = read_page(query, "key")
    return page_of(
        await request.services.keys.page(request.caller, optional(query.tenant_id), page), page, key_out
    )


@ROUTES.add(
    "POST",
    "",
    ADMINISTERS,
    "Create a key",
    body=KeyIn,
    errors=(422,),
    example={"role": "tenant-system-admin", "name": "deploys"},
)
async def create_key(request: Request) -> Data[NewKeyOut]:
    """Creates a key of the caller's tenant, with at most the caller's role.

    A platform key can create keys of any tenant.
    """
    body = await request.body(CREATE_KEY)
    tenant_id = request.tenant_id if body.tenant_id is UNSET else body.tenant_id
    key, text = await request.services.keys.create(
        request.caller, tenant_id=tenant_id, role=ROLES[body.role], name=body.name
    )
    return Data(to_out(NewKeyOut, key, role=key.role.wire_name, key=text))


@ROUTES.add("GET", "/{key_id}", ADMINISTERS, "Get a key", errors=(404, 422))
async def get_key(request: Request) -> Data[KeyOut]:
    return Data(key_out(await request.services.keys.get(request.caller, _key_id(request))))


@ROUTES.add("DELETE", "/{key_id}", ADMINISTERS, "Revoke a key", status=200, errors=(404, 422))
async def revoke_key(request: Request) -> Data[KeyOut]:
    """Revokes the key permanently; all servers refuse it within two seconds. Repeating this is no error."""
    return Data(key_out(await request.services.keys.revoke(request.caller, _key_id(request))))


def _key_id(request: Request) -> str:
    return known_id("key", "key", request.params["key_id"])
