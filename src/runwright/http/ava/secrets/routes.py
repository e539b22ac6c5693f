"""The routes of secrets. They accept values and return none."""

from functools import partial
from typing import Final

from runwright.core.errors import NotFoundError
from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Page, page_of, read_page
from runwright.http.ava.secrets.schemas import (
    LIST_SECRETS,
    SecretIn,
    SecretOut,
    SecretQuery,
    read_secret,
    secret_out,
)
from runwright.http.ava.workers.rules import check_env_name
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/secrets", tag="Secrets")


@ROUTES.add("GET", "", READS, "List secrets", query=SecretQuery, errors=(422,))
async def list_secrets(request: Request) -> Page[SecretOut]:
    """Returns the names of secrets; values are never returned."""
    query = request.query(LIST_SECRETS)
    page = read_page(query, "sec")
    part = query.q or None
    return page_of(await request.services.vault.list(request.tenant_id, part, page), page, secret_out)


@ROUTES.add(
    "PUT",
    "/{name}",
    WRITES,
    "Set a secret",
    body=SecretIn,
    status=201,
    errors=(409, 422),
    unchanged="Replaced the value of the secret of that name",
    example={"value": "xoxb-example-token"},
)
async def put_secret(request: Request) -> Reply[Data[SecretOut]]:
    """Sets the value that attempts receive which start from now on, of workers that list the name.

    A tenant has at most 1,000 secrets.
    """
    name = request.params["name"]
    body = await request.read_json()
    value = await request.edge.large_bodies.validate(request.tenant_id, partial(read_secret, name), body)
    secret, created = await request.services.vault.put(request.caller, name, value)
    return Reply(Data(secret_out(secret)), 201 if created else 200)


@ROUTES.add("DELETE", "/{name}", WRITES, "Delete a secret", errors=(404, 422))
async def delete_secret(request: Request) -> None:
    """Deletes the secret permanently. Jobs of workers that list it fail from now on with `missing_secret`."""
    name = request.params["name"]
    if check_env_name(name):
        raise NotFoundError("There is no such secret.")  # it cannot be a name, so the store is not asked
    await request.services.vault.delete(request.caller, name)
