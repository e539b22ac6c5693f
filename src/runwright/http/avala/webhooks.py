"""The routes of webhooks and of what was sent to them."""

from typing import Final, TypeVar

from litestar import Controller, delete, get, patch, post, put
from litestar.params import FromPath

from runwright.http.avala.auth import READS, WRITES, AvalaRequest
from runwright.http.avala.paging import Page, PageQuery, known, read_window, show_page
from runwright.http.avala.requests import read_body, read_query
from runwright.http.avala.rules import https_url
from runwright.http.avala.webhook_forms import (
    NEW_WEBHOOK,
    WEBHOOK_CHANGES,
    WHOLE_WEBHOOK,
    NewWebhookBody,
    WebhookChangesBody,
    WholeWebhookBody,
    endpoint_changes,
    new_endpoint,
)
from runwright.http.avala.webhook_shapes import (
    DeliveryWire,
    WebhookTestWire,
    WebhookWire,
    delivery_wire,
    webhook_test_wire,
    webhook_wire,
)
from runwright.http.checks import Form, T
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.webhooks.model import Delivery

_TAG: Final = "Webhooks"
B = TypeVar("B", WholeWebhookBody, WebhookChangesBody)

_EXAMPLE: Final = {"target_url": "https://hooks.example.com/avala", "events": ["result.submitted"]}


async def _read(form: Form[T], request: AvalaRequest) -> T:
    rules = {"target_url": https_url("target_url", services_of(request).outgoing)}
    return form.with_rules(rules).read_json(await read_body(request))


class WebhookRoutes(Controller):
    """URLs that want events."""

    path = "/webhooks"

    @get("/", guards=[READS], opt=Operation("List webhooks", tag=_TAG, query=PageQuery, errors=(404,)).opt)
    async def list_webhooks(self, request: AvalaRequest) -> Page[WebhookWire]:
        window = read_window(read_query(request), "wh")
        view = await services_of(request).avala_endpoints.view(request.user.tenant_id, window)
        return show_page(request, view, lambda one: one.id, [webhook_wire(one) for one in view.rows])

    @post(
        "/",
        guards=[WRITES],
        opt=Operation("Create a webhook", tag=_TAG, body=NewWebhookBody, errors=(409,), example=_EXAMPLE).opt,
    )
    async def create_webhook(self, request: AvalaRequest) -> WebhookWire:
        """It is sent the events that happen from now on. The answer alone shows its secret."""
        new = new_endpoint(await _read(NEW_WEBHOOK, request))
        endpoint, _ = await services_of(request).avala_endpoints.create(request.user, new)
        return webhook_wire(endpoint, new.secret)

    @get("/{uid:str}", guards=[READS], opt=Operation("Get a webhook", tag=_TAG, errors=(404,)).opt)
    async def get_webhook(self, request: AvalaRequest, uid: FromPath[str]) -> WebhookWire:
        endpoints = services_of(request).avala_endpoints
        return webhook_wire(await endpoints.get(request.user.tenant_id, known("wh", uid)))

    @put(
        "/{uid:str}",
        guards=[WRITES],
        opt=Operation(
            "Replace a webhook", tag=_TAG, body=WholeWebhookBody, errors=(404,), example=_EXAMPLE
        ).opt,
    )
    async def replace_webhook(self, request: AvalaRequest, uid: FromPath[str]) -> WebhookWire:
        """All but its secret."""
        return await _change(request, uid, WHOLE_WEBHOOK)

    @patch(
        "/{uid:str}",
        guards=[WRITES],
        opt=Operation(
            "Update a webhook", tag=_TAG, body=WebhookChangesBody, errors=(404,), example={"is_active": False}
        ).opt,
    )
    async def change_webhook(self, request: AvalaRequest, uid: FromPath[str]) -> WebhookWire:
        return await _change(request, uid, WEBHOOK_CHANGES)

    @delete("/{uid:str}", guards=[WRITES], opt=Operation("Delete a webhook", tag=_TAG, errors=(404,)).opt)
    async def delete_webhook(self, request: AvalaRequest, uid: FromPath[str]) -> None:
        """For good, with its deliveries; what is on its way to it is dropped."""
        await services_of(request).avala_endpoints.delete(request.user, known("wh", uid))

    @post(
        "/{uid:str}/test",
        guards=[WRITES],
        status_code=200,
        opt=Operation("Test a webhook", tag=_TAG, errors=(404,)).opt,
    )
    async def test_webhook(self, request: AvalaRequest, uid: FromPath[str]) -> WebhookTestWire:
        """Sends a `webhook.test` now, once, and says what came of it."""
        tested = await services_of(request).avala_endpoints.test(request.user, known("wh", uid))
        return webhook_test_wire(tested)


class DeliveryRoutes(Controller):
    """What was sent to webhooks."""

    path = "/webhook-deliveries"

    @get("/", guards=[READS], opt=Operation("List deliveries", tag=_TAG, query=PageQuery, errors=(404,)).opt)
    async def list_deliveries(self, request: AvalaRequest) -> Page[DeliveryWire]:
        window = read_window(read_query(request), "whd")
        view = await services_of(request).avala_endpoints.view_deliveries(request.user.tenant_id, window)
        return show_page(request, view, lambda one: one.id, [await _shown(request, one) for one in view.rows])

    @get("/{uid:str}", guards=[READS], opt=Operation("Get a delivery", tag=_TAG, errors=(404,)).opt)
    async def get_delivery(self, request: AvalaRequest, uid: FromPath[str]) -> DeliveryWire:
        endpoints = services_of(request).avala_endpoints
        return await _shown(request, await endpoints.delivery(request.user.tenant_id, known("whd", uid)))


async def _change(request: AvalaRequest, uid: str, form: Form[B]) -> WebhookWire:
    endpoints = services_of(request).avala_endpoints
    await endpoints.get(request.user.tenant_id, known("wh", uid))  # who may not see it learns no field's rule
    body = await _read(form, request)
    return webhook_wire(await endpoints.change(request.user, known("wh", uid), endpoint_changes(body)))


async def _shown(request: AvalaRequest, delivery: Delivery) -> DeliveryWire:
    return delivery_wire(delivery, await services_of(request).avala_endpoints.body(delivery.event))
