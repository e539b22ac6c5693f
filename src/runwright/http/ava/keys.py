"""The routes of API keys, at `/v1/keys`."""

from typing import Final

from litestar import Controller, delete, get, post
from litestar.params import FromPath
from msgspec import UNSET

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import ADMINISTERS, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import read_page, show_page
from runwright.http.ava.tenant_forms import (
    CREATE_KEY,
    LIST_KEYS,
    CreateKeyBody,
    KeyQuery,
    KeyWire,
    NewKeyWire,
    key_role,
    key_wire,
    new_key_wire,
)
from runwright.http.ava.wire import Data, Page
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Keys"


def _known(key_id: str) -> str:
    """Spare the store what cannot be an id."""
    if not is_id("key", key_id):
        raise NotFoundError("There is no such key.")
    return key_id


class KeyRoutes(Controller):
    """Keys of tenants. The text of one is shown when it is made, and never again."""

    path = "/keys"

    @get("/", guards=[ADMINISTERS], opt=Operation("List keys", tag=_TAG, query=KeyQuery, errors=(422,)).opt)
    async def list_keys(self, request: AvaRequest) -> Page[KeyWire]:
        """Newest first, revoked ones too. A platform key in the role `platform-admin` sees all tenants'."""
        query = LIST_KEYS.read_query(request.scope["query_string"])
        page = read_page(query, "key")
        tenant_id = None if query.tenant_id is UNSET else query.tenant_id
        listing = await services_of(request).keys.page(request.user, tenant_id, page)
        return Page([key_wire(key) for key in listing.rows], show_page(listing, page))

    @post(
        "/",
        guards=[ADMINISTERS],
        opt=Operation(
            "Create a key",
            tag=_TAG,
            body=CreateKeyBody,
            errors=(422,),
            example={"role": "tenant-system-admin", "name": "deploys"},
        ).opt,
    )
    async def create_key(self, request: AvaRequest) -> Data[NewKeyWire]:
        """For your own tenant, with a role that is not above yours; with a platform key for any tenant."""
        NO_QUERY.read_query(request.scope["query_string"])
        headers = read_headers(request.scope)
        body = CREATE_KEY.read_json(await read_json_body(headers, request.receive, request.app.state.edge))
        tenant_id = request.user.tenant_id if body.tenant_id is UNSET else body.tenant_id
        key, text = await services_of(request).keys.create(
            request.user, tenant_id=tenant_id, role=key_role(body), name=body.name
        )
        return Data(new_key_wire(key, text))

    @get("/{key_id:str}", guards=[ADMINISTERS], opt=Operation("Get a key", tag=_TAG, errors=(404, 422)).opt)
    async def get_key(self, request: AvaRequest, key_id: FromPath[str]) -> Data[KeyWire]:
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(key_wire(await services_of(request).keys.get(request.user, _known(key_id))))

    @delete(
        "/{key_id:str}",
        guards=[ADMINISTERS],
        status_code=200,
        opt=Operation("Revoke a key", tag=_TAG, errors=(404, 422)).opt,
    )
    async def revoke_key(self, request: AvaRequest, key_id: FromPath[str]) -> Data[KeyWire]:
        """For good; it is refused everywhere within two seconds. Revoking it again is no error."""
        NO_QUERY.read_query(request.scope["query_string"])
        return Data(key_wire(await services_of(request).keys.revoke(request.user, _known(key_id))))
