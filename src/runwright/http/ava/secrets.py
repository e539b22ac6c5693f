"""The routes of the vault. They take values in and give none out."""

from typing import Final

from litestar import Controller, Response, delete, get, put
from litestar.params import FromPath
from msgspec import UNSET

from runwright.core.errors import NotFoundError
from runwright.http.ava.auth import READS, WRITES, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import read_page, show_page
from runwright.http.ava.secret_forms import LIST_SECRETS, PutSecretBody, SecretQuery, read_secret
from runwright.http.ava.shapes import secret_wire
from runwright.http.ava.wire import Data, Page, SecretWire
from runwright.http.ava.worker_rules import check_env_name
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Secrets"


class SecretRoutes(Controller):
    """Values that jobs get and nobody else."""

    path = "/secrets"

    @get("/", guards=[READS], opt=Operation("List secrets", tag=_TAG, query=SecretQuery, errors=(422,)).opt)
    async def list_secrets(self, request: AvaRequest) -> Page[SecretWire]:
        """Their names; values are never shown."""
        query = LIST_SECRETS.read_query(request.scope["query_string"])
        page = read_page(query, "sec")
        part = None if query.q is UNSET or not query.q else query.q
        listing = await services_of(request).vault.list(request.user.tenant_id, part, page)
        return Page([secret_wire(secret) for secret in listing.rows], show_page(listing, page))

    @put(
        "/{name:str}",
        guards=[WRITES],
        status_code=201,
        opt=Operation(
            "Set a secret",
            tag=_TAG,
            body=PutSecretBody,
            errors=(409, 422),
            unchanged="Replaced the value of the secret of that name",
            example={"value": "xoxb-example-token"},
        ).opt,
    )
    async def put_secret(self, request: AvaRequest, name: FromPath[str]) -> Response[Data[SecretWire]]:
        """In force for every attempt that begins from now on, in workers that list the name.

        A tenant has at most 1,000 secrets.
        """
        NO_QUERY.read_query(request.scope["query_string"])
        body = await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)
        value = read_secret(name, body)
        secret, created = await services_of(request).vault.put(request.user, name, value)
        return Response(Data(secret_wire(secret)), status_code=201 if created else 200)

    @delete("/{name:str}", guards=[WRITES], opt=Operation("Delete a secret", tag=_TAG, errors=(404, 422)).opt)
    async def delete_secret(self, request: AvaRequest, name: FromPath[str]) -> None:
        """For good. Jobs of workers that list it fail from now on, with `missing_secret`."""
        NO_QUERY.read_query(request.scope["query_string"])
        if check_env_name(name):
            raise NotFoundError("There is no such secret.")  # spare the store what cannot be a name
        await services_of(request).vault.delete(request.user, name)
