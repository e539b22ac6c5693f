"""The routes of webhook endpoints."""

from typing import Final, TypeVar

import msgspec

from runwright.core.ids import EndpointId
from runwright.http.avala.authorization import READS, WRITES
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.fields import https_url
from runwright.http.avala.requests import PAGE, Page, PageQuery, internal_id, page_out, read_body, read_window
from runwright.http.avala.webhooks.schemas import (
    CHANGE_WEBHOOK,
    CREATE_WEBHOOK,
    REPLACE_WEBHOOK,
    WebhookIn,
    WebhookOut,
    WebhookPatch,
    WebhookReplacement,
    WebhookTestOut,
    endpoint_create,
    endpoint_patch,
    webhook_out,
    webhook_test_out,
)
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.http.validation import Validator

ROUTES: Final = Routes(AVALA, f"{PREFIX}/webhooks", tag="Webhooks")
T = TypeVar("T", bound=msgspec.Struct)
B = TypeVar("B", WebhookReplacement, WebhookPatch)

_EXAMPLE: Final = {"target_url": "https://hooks.example.com/avala", "events": ["result.submitted"]}


@ROUTES.add("GET", "", READS, "List webhooks", query=PageQuery, errors=(404,))
async def list_webhooks(request: Request) -> Page[WebhookOut]:
    window = read_window(request.query(PAGE), "wh")
    view = await request.services.avala_endpoints.view(request.tenant_id, window)
    return page_out(request, view, [webhook_out(one) for one in view.rows])


@ROUTES.add("POST", "", WRITES, "Create a webhook", body=WebhookIn, errors=(409,), example=_EXAMPLE)
async def create_webhook(request: Request) -> WebhookOut:
    """It gets the events that happen from now on. Only this response has its secret."""
    new = endpoint_create(await _read(request, CREATE_WEBHOOK))
    endpoint, _ = await request.services.avala_endpoints.create(request.caller, new)
    return webhook_out(endpoint, new.secret)


@ROUTES.add("GET", "/{uid}", READS, "Get a webhook", errors=(404,))
async def get_webhook(request: Request) -> WebhookOut:
    return webhook_out(await request.services.avala_endpoints.get(request.tenant_id, _endpoint_id(request)))


@ROUTES.add(
    "PUT",
    "/{uid}",
    WRITES,
    "Replace a webhook",
    body=WebhookReplacement,
    errors=(404,),
    example=_EXAMPLE,
)
async def replace_webhook(request: Request) -> WebhookOut:
    """Replaces all fields except the secret."""
    return await _change(request, REPLACE_WEBHOOK)


@ROUTES.add(
    "PATCH",
    "/{uid}",
    WRITES,
    "Update a webhook",
    body=WebhookPatch,
    errors=(404,),
    example={"is_active": False},
)
async def change_webhook(request: Request) -> WebhookOut:
    return await _change(request, CHANGE_WEBHOOK)


@ROUTES.add("DELETE", "/{uid}", WRITES, "Delete a webhook", errors=(404,))
async def delete_webhook(request: Request) -> None:
    """Deletes the webhook and its deliveries, pending ones too."""
    await request.services.avala_endpoints.delete(request.caller, _endpoint_id(request))


@ROUTES.add("POST", "/{uid}/test", WRITES, "Test a webhook", status=200, errors=(404,))
async def test_webhook(request: Request) -> WebhookTestOut:
    """Sends a `webhook.test` once, now, and returns the outcome."""
    return webhook_test_out(
        await request.services.avala_endpoints.test(request.caller, _endpoint_id(request))
    )


def _endpoint_id(request: Request) -> EndpointId:
    return EndpointId(internal_id("wh", request.params["uid"]))


async def _read(request: Request, validator: Validator[T]) -> T:
    rules = {"target_url": https_url("target_url", request.services.outgoing)}
    return await read_body(request, validator, rules)


async def _change(request: Request, validator: Validator[B]) -> WebhookOut:
    endpoints, endpoint_id = request.services.avala_endpoints, _endpoint_id(request)
    await endpoints.get(request.tenant_id, endpoint_id)  # others' endpoints are 404 whatever the body is
    body = await _read(request, validator)
    return webhook_out(await endpoints.change(request.caller, endpoint_id, endpoint_patch(body)))
