"""The routes of webhooks, at `/v1/webhooks`."""

from typing import Final

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import READS, WRITES, AvaRequest, read_headers
from runwright.http.ava.job_forms import NO_QUERY
from runwright.http.ava.paging import PageQuery, read_page, show_page
from runwright.http.ava.webhook_forms import (
    CHANGE_WEBHOOK,
    CREATE_WEBHOOK,
    LIST_DELIVERIES,
    LIST_WEBHOOKS,
    ROTATE_SECRET,
    ChangeWebhookBody,
    CreateWebhookBody,
    DeliveryQuery,
    RotateSecretBody,
    endpoint_changes,
    new_endpoint,
)
from runwright.http.ava.webhook_shapes import (
    DeliveryWire,
    RotatedWebhookWire,
    TestedWire,
    WebhookWire,
    delivery_wire,
    tested_wire,
    webhook_wire,
)
from runwright.http.ava.wire import Page
from runwright.http.body import read_json_body
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.http.targets import require_url
from runwright.http.times import time_wire

_TAG: Final = "Webhooks"


def _known(webhook_id: str) -> str:
    """Spare the store what cannot be an id."""
    if not is_id("wh", webhook_id):
        raise NotFoundError("There is no such webhook.")
    return webhook_id


def _known_delivery(delivery_id: str) -> str:
    if not is_id("whd", delivery_id):
        raise NotFoundError("There is no such delivery.")
    return delivery_id


async def _body(request: AvaRequest) -> bytes:
    return await read_json_body(read_headers(request.scope), request.receive, request.app.state.edge)


class WebhookRoutes(Controller):
    """URLs that want events."""

    path = "/webhooks"

    @get("/", guards=[READS], opt=Operation("List webhooks", tag=_TAG, query=PageQuery, errors=(422,)).opt)
    async def list_webhooks(self, request: AvaRequest) -> Page[WebhookWire]:
        page = read_page(LIST_WEBHOOKS.read_query(request.scope["query_string"]), "wh")
        listing = await services_of(request).endpoints.list(request.user.tenant_id, page)
        return Page([webhook_wire(endpoint) for endpoint in listing.rows], show_page(listing, page))

    @post(
        "/",
        guards=[WRITES],
        opt=Operation(
            "Create a webhook",
            tag=_TAG,
            body=CreateWebhookBody,
            errors=(409, 422),
            example={"url": "https://hooks.example.com/runwright", "events": ["ava.job.*"]},
        ).opt,
    )
    async def create_webhook(self, request: AvaRequest) -> WebhookWire:
        """It is sent the events that happen from now on."""
        NO_QUERY.read_query(request.scope["query_string"])
        services = services_of(request)
        form = CREATE_WEBHOOK.with_rules({"url": require_url(services.outgoing)})
        new = new_endpoint(form.read_json(await _body(request)))
        return webhook_wire(*await services.endpoints.create(request.user, new))

    @get("/{webhook_id:str}", guards=[READS], opt=Operation("Get a webhook", tag=_TAG, errors=(404, 422)).opt)
    async def get_webhook(self, request: AvaRequest, webhook_id: FromPath[str]) -> WebhookWire:
        NO_QUERY.read_query(request.scope["query_string"])
        endpoints = services_of(request).endpoints
        return webhook_wire(await endpoints.get(request.user.tenant_id, _known(webhook_id)))

    @patch(
        "/{webhook_id:str}",
        guards=[WRITES],
        opt=Operation(
            "Update a webhook",
            tag=_TAG,
            body=ChangeWebhookBody,
            errors=(404, 422),
            example={"events": ["ava.job.failed"]},
        ).opt,
    )
    async def change_webhook(self, request: AvaRequest, webhook_id: FromPath[str]) -> WebhookWire:
        """While paused it is sent nothing, and events of that time are not kept for it."""
        NO_QUERY.read_query(request.scope["query_string"])
        services = services_of(request)
        form = CHANGE_WEBHOOK.with_rules({"url": require_url(services.outgoing)})
        changes = endpoint_changes(form.read_json(await _body(request)))
        return webhook_wire(await services.endpoints.change(request.user, _known(webhook_id), changes))

    @delete(
        "/{webhook_id:str}",
        guards=[WRITES],
        opt=Operation("Delete a webhook", tag=_TAG, errors=(404, 422)).opt,
    )
    async def delete_webhook(self, request: AvaRequest, webhook_id: FromPath[str]) -> None:
        """For good, with its deliveries; what is on its way to it is dropped."""
        NO_QUERY.read_query(request.scope["query_string"])
        await services_of(request).endpoints.delete(request.user, _known(webhook_id))

    @post(
        "/{webhook_id:str}/test",
        guards=[WRITES],
        status_code=200,
        opt=Operation("Test a webhook", tag=_TAG, errors=(404, 422)).opt,
    )
    async def test_webhook(self, request: AvaRequest, webhook_id: FromPath[str]) -> TestedWire:
        """Sends an `ava.webhook.test` now, once, and says what came of it.

        Success makes a degraded webhook active.
        """
        NO_QUERY.read_query(request.scope["query_string"])
        return tested_wire(await services_of(request).endpoints.test(request.user, _known(webhook_id)))

    @post(
        "/{webhook_id:str}/rotate-secret",
        guards=[WRITES],
        status_code=200,
        opt=Operation(
            "Rotate a webhook's secret", tag=_TAG, body=RotateSecretBody, errors=(404, 422), example={}
        ).opt,
    )
    async def rotate_secret(self, request: AvaRequest, webhook_id: FromPath[str]) -> RotatedWebhookWire:
        """Until the old secret ends, every delivery is signed with both, the new one first."""
        NO_QUERY.read_query(request.scope["query_string"])
        endpoints = services_of(request).endpoints
        await endpoints.get(request.user.tenant_id, _known(webhook_id))
        body = ROTATE_SECRET.read_json(await _body(request))
        endpoint, made, until = await endpoints.rotate_secret(
            request.user, webhook_id, body.secret, body.overlap_seconds
        )
        return RotatedWebhookWire(
            webhook=webhook_wire(endpoint),
            secret=UNSET if made is None else made,
            old_secret_valid_until=time_wire(until),
        )

    @get(
        "/{webhook_id:str}/deliveries",
        guards=[READS],
        opt=Operation("List deliveries", tag=_TAG, query=DeliveryQuery, errors=(404, 422)).opt,
    )
    async def list_deliveries(self, request: AvaRequest, webhook_id: FromPath[str]) -> Page[DeliveryWire]:
        """Newest first, each with its attempts."""
        query = LIST_DELIVERIES.read_query(request.scope["query_string"])
        page = read_page(query, "whd")
        status = None if query.status is UNSET else query.status
        listing = await services_of(request).endpoints.deliveries(
            request.user.tenant_id, _known(webhook_id), status, page
        )
        return Page([delivery_wire(delivery) for delivery in listing.rows], show_page(listing, page))

    @post(
        "/{webhook_id:str}/deliveries/{delivery_id:str}/redeliver",
        guards=[WRITES],
        status_code=200,
        opt=Operation("Send a delivery again", tag=_TAG, errors=(404, 409, 422)).opt,
    )
    async def redeliver(
        self, request: AvaRequest, webhook_id: FromPath[str], delivery_id: FromPath[str]
    ) -> DeliveryWire:
        """At once, whatever became of it before, and with all retries before it."""
        NO_QUERY.read_query(request.scope["query_string"])
        endpoints = services_of(request).endpoints
        return delivery_wire(
            await endpoints.redeliver(request.user, _known(webhook_id), _known_delivery(delivery_id))
        )
