"""The routes of API keys, at `/v1/keys`. The text of a key is shown when it is created, and never again."""

from typing import Final

from msgspec import UNSET

from runwright.http.ava.authorization import ADMINISTERS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, known_id, optional, page_of, read_page
from runwright.http.ava.keys.schemas import (
    CREATE_KEY,
    LIST_KEYS,
    KeyIn,
    KeyOut,
    KeyQuery,
    NewKeyOut,
    key_out,
    key_role,
    new_key_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/keys", tag="Keys")


@ROUTES.add("GET", "", ADMINISTERS, "List keys", query=KeyQuery, errors=(422,))
async def list_keys(request: Request) -> Page[KeyOut]:
    """Newest first, revoked ones too. A platform key in the role `platform-admin` sees all tenants'."""
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
    """For your own tenant, with a role that is not above yours; with a platform key for any tenant."""
    body = await request.body(CREATE_KEY)
    tenant_id = request.tenant_id if body.tenant_id is UNSET else body.tenant_id
    key, text = await request.services.keys.create(
        request.caller, tenant_id=tenant_id, role=key_role(body), name=body.name
    )
    return Data(new_key_out(key, text))


@ROUTES.add("GET", "/{key_id}", ADMINISTERS, "Get a key", errors=(404, 422))
async def get_key(request: Request) -> Data[KeyOut]:
    return Data(key_out(await request.services.keys.get(request.caller, _key_id(request))))


@ROUTES.add("DELETE", "/{key_id}", ADMINISTERS, "Revoke a key", status=200, errors=(404, 422))
async def revoke_key(request: Request) -> Data[KeyOut]:
    """For good; it is refused everywhere within two seconds. Revoking it again is no error."""
    return Data(key_out(await request.services.keys.revoke(request.caller, _key_id(request))))


def _key_id(request: Request) -> str:
    return known_id("key", "key", request.params["key_id"])
