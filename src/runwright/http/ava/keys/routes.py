"""The routes of API keys, at `/v1/keys`. The text of a key is returned once, when it is created."""

from datetime import timedelta
from typing import Final

from msgspec import UNSET

from runwright.http.ava.authorization import ADMINISTERS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, in_utc, known_id, optional, page_of, read_page
from runwright.http.ava.keys.schemas import (
    CREATE_KEY,
    LIST_KEYS,
    ROTATE_KEY,
    KeyIn,
    KeyOut,
    KeyQuery,
    NewKeyOut,
    RotateIn,
    key_create,
    key_out,
    new_key_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes

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
    example={"role": "tenant-system-admin", "name": "deploys", "scopes": ["read", "deploy"]},
)
async def create_key(request: Request) -> Data[NewKeyOut]:
    """Creates a key of the caller's tenant, with at most the caller's role and scopes.

    A platform key can create keys of any tenant.
    """
    body = await request.body(CREATE_KEY)
    tenant_id = request.tenant_id if body.tenant_id is UNSET else body.tenant_id
    key, text = await request.services.keys.create(request.caller, key_create(body, tenant_id))
    return Data(new_key_out(key, text))


@ROUTES.add("GET", "/{key_id}", ADMINISTERS, "Get a key", errors=(404, 422))
async def get_key(request: Request) -> Data[KeyOut]:
    return Data(key_out(await request.services.keys.get(request.caller, _key_id(request))))


@ROUTES.add(
    "POST",
    "/{key_id}/rotate",
    ADMINISTERS,
    "Rotate a key",
    status=200,
    body=RotateIn,
    errors=(404, 409, 422),
    example={"overlap_seconds": 3600},
)
async def rotate_key(request: Request) -> Data[NewKeyOut]:
    """Gives the key a new text, which is returned once. The old text is accepted for the overlap.

    The key keeps its id, role and scopes. Rotating it again does not shorten an overlap.
    """
    key_id = _key_id(request)
    body = await request.body(ROTATE_KEY)
    expires_at = body.expires_at if body.expires_at is UNSET else in_utc(body.expires_at)
    key, text = await request.services.keys.rotate(
        request.caller,
        key_id,
        overlap=timedelta(seconds=body.overlap_seconds),
        expires_at=expires_at,
    )
    return Data(new_key_out(key, text))


@ROUTES.add("DELETE", "/{key_id}", ADMINISTERS, "Revoke a key", status=200, errors=(404, 422))
async def revoke_key(request: Request) -> Data[KeyOut]:
    """Revokes the key permanently; all servers refuse it within two seconds. Repeating this is no error."""
    return Data(key_out(await request.services.keys.revoke(request.caller, _key_id(request))))


def _key_id(request: Request) -> str:
    return known_id("key", "key", request.params["key_id"])
