"""The routes of webhooks, at `/v1/webhooks`."""

from typing import Final

from msgspec import UNSET

from runwright.core.ids import DeliveryId, EndpointId
from runwright.http.ava.authorization import READS, WRITES
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Page, PageQuery, known_id, optional, page_of, read_page
from runwright.http.ava.webhooks.schemas import (
    CHANGE_WEBHOOK,
    CREATE_WEBHOOK,
    LIST_DELIVERIES,
    LIST_WEBHOOKS,
    ROTATE_SECRET,
    DeliveryOut,
    DeliveryQuery,
    RotatedWebhookOut,
    RotateSecretIn,
    TestedOut,
    WebhookIn,
    WebhookOut,
    WebhookPatch,
    delivery_out,
    endpoint_changes,
    new_endpoint,
    tested_out,
    webhook_out,
)
from runwright.http.fields import format_time, require_url
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/webhooks", tag="Webhooks")


@ROUTES.add("GET", "", READS, "List webhooks", query=PageQuery, errors=(422,))
async def list_webhooks(request: Request) -> Page[WebhookOut]:
    page = read_page(request.query(LIST_WEBHOOKS), "wh")
    return page_of(await request.services.endpoints.list(request.tenant_id, page), page, webhook_out)


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Create a webhook",
    body=WebhookIn,
    errors=(409, 422),
    example={"url": "https://hooks.example.com/runwright", "events": ["ava.job.*"]},
)
async def create_webhook(request: Request) -> WebhookOut:
    """Creates a webhook, which receives the events that happen from now on."""
    services = request.services
    new = new_endpoint(await request.body(CREATE_WEBHOOK, {"url": require_url(services.outgoing)}))
    return webhook_out(*await services.endpoints.create(request.caller, new))


@ROUTES.add("GET", "/{webhook_id}", READS, "Get a webhook", errors=(404, 422))
async def get_webhook(request: Request) -> WebhookOut:
    return webhook_out(await request.services.endpoints.get(request.tenant_id, _webhook_id(request)))


@ROUTES.add(
    "PATCH",
    "/{webhook_id}",
    WRITES,
    "Update a webhook",
    body=WebhookPatch,
    errors=(404, 422),
    example={"events": ["ava.job.failed"]},
)
async def change_webhook(request: Request) -> WebhookOut:
    """A paused webhook receives nothing; events of that time are not sent later."""
    services = request.services
    body = await request.body(CHANGE_WEBHOOK, {"url": require_url(services.outgoing)})
    endpoints = services.endpoints
    return webhook_out(await endpoints.change(request.caller, _webhook_id(request), endpoint_changes(body)))


@ROUTES.add("DELETE", "/{webhook_id}", WRITES, "Delete a webhook", errors=(404, 422))
async def delete_webhook(request: Request) -> None:
    """Deletes the webhook and its deliveries permanently; pending deliveries are not sent."""
    await request.services.endpoints.delete(request.caller, _webhook_id(request))


@ROUTES.add("POST", "/{webhook_id}/test", WRITES, "Test a webhook", status=200, errors=(404, 422))
async def test_webhook(request: Request) -> TestedOut:
    """Sends one `ava.webhook.test` event now and returns the outcome.

    Success makes a degraded webhook active.
    """
    return tested_out(await request.services.endpoints.test(request.caller, _webhook_id(request)))


@ROUTES.add(
    "POST",
    "/{webhook_id}/rotate-secret",
    WRITES,
    "Rotate a webhook's secret",
    body=RotateSecretIn,
    status=200,
    errors=(404, 422),
    example={"overlap_seconds": 3600},
)
async def rotate_secret(request: Request) -> RotatedWebhookOut:
    """Until the old secret expires, every delivery is signed with both, the new one first."""
    endpoints, webhook_id = request.services.endpoints, _webhook_id(request)
    await endpoints.get(request.tenant_id, webhook_id)
    body = await request.body(ROTATE_SECRET)
    endpoint, made, until = await endpoints.rotate_secret(
        request.caller, webhook_id, body.secret, body.overlap_seconds
    )
    return RotatedWebhookOut(
        webhook=webhook_out(endpoint),
        secret=UNSET if made is None else made,
        old_secret_valid_until=format_time(until),
    )


@ROUTES.add(
    "GET", "/{webhook_id}/deliveries", READS, "List deliveries", query=DeliveryQuery, errors=(404, 422)
)
async def list_deliveries(request: Request) -> Page[DeliveryOut]:
    """Returns deliveries newest first, each with its attempts."""
    query = request.query(LIST_DELIVERIES)
    page = read_page(query, "whd")
    listing = await request.services.endpoints.deliveries(
        request.tenant_id, _webhook_id(request), optional(query.status), page
    )
    return page_of(listing, page, delivery_out)


@ROUTES.add(
    "POST",
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    WRITES,
    "Send a delivery again",
    status=200,
    errors=(404, 409, 422),
)
async def redeliver(request: Request) -> DeliveryOut:
    """Sends the delivery immediately, whatever its status, and resets its retries."""
    webhook_id = _webhook_id(request)
    delivery_id = DeliveryId(known_id("whd", "delivery", request.params["delivery_id"]))
    return delivery_out(await request.services.endpoints.redeliver(request.caller, webhook_id, delivery_id))


def _webhook_id(request: Request) -> EndpointId:
    return EndpointId(known_id("wh", "webhook", request.params["webhook_id"]))
