"""The routes of deliveries to webhook endpoints."""

from typing import Final

from runwright.core.ids import DeliveryId
from runwright.http.avala.authorization import READS
from runwright.http.avala.deliveries.schemas import DeliveryOut, delivery_out
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.requests import PAGE, Page, PageQuery, internal_id, page_out, read_window
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.webhooks.model import Delivery

ROUTES: Final = Routes(AVALA, f"{PREFIX}/webhook-deliveries", tag="Webhooks")


@ROUTES.add("GET", "", READS, "List deliveries", query=PageQuery, errors=(404,))
async def list_deliveries(request: Request) -> Page[DeliveryOut]:
    window = read_window(request.query(PAGE), "whd")
    view = await request.services.avala_endpoints.view_deliveries(request.tenant_id, window)
    return page_out(request, view, [await _out(request, one) for one in view.rows])


@ROUTES.add("GET", "/{uid}", READS, "Get a delivery", errors=(404,))
async def get_delivery(request: Request) -> DeliveryOut:
    delivery_id = DeliveryId(internal_id("whd", request.params["uid"]))
    return await _out(
        request, await request.services.avala_endpoints.delivery(request.tenant_id, delivery_id)
    )


async def _out(request: Request, delivery: Delivery) -> DeliveryOut:
    return delivery_out(delivery, await request.services.avala_endpoints.body(delivery.event))
