"""`rw.webhooks` and `rw.deliveries`: events that are sent to URLs."""

from collections.abc import Sequence
from typing import Unpack

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.webhooks import (
    DeliveryInfo,
    RotatedWebhookInfo,
    WebhookInfo,
    WebhookTestInfo,
    WebhookUpdate,
)
from runwright.client.pagination import PAGE_ROWS, PageSource, Results


class WebhooksApi(DualMode[M]):
    """The webhooks of the tenant."""

    def list(self) -> Results[M, WebhookInfo]:
        """Return webhooks, newest first."""
        source = PageSource(into=WebhookInfo, route="GET /v1/webhooks", query={"per_page": PAGE_ROWS})
        return Results(self._session, source)

    @call
    async def get(self, webhook_id: str) -> WebhookInfo:
        """Return a webhook."""
        return await self._session.read(WebhookInfo, "GET /v1/webhooks/{webhook_id}", webhook_id, member=None)

    @call
    async def create(self, url: str, events: Sequence[str], *, secret: str | None = None) -> WebhookInfo:
        """Create a webhook. A secret that the server makes is in the result, and never again."""
        body = {"url": url, "events": [*events], "secret": secret}
        return await self._session.read(WebhookInfo, "POST /v1/webhooks", json=body, member=None)

    @call
    async def update(self, webhook_id: str, **changes: Unpack[WebhookUpdate]) -> WebhookInfo:
        """Change the given fields of a webhook."""
        route = "PATCH /v1/webhooks/{webhook_id}"
        return await self._session.read(WebhookInfo, route, webhook_id, json=changes, member=None)

    @call
    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook and its deliveries."""
        await self._session.send("DELETE /v1/webhooks/{webhook_id}", webhook_id)

    @call
    async def test(self, webhook_id: str) -> WebhookTestInfo:
        """Send a test event now, once, and return the outcome."""
        return await self._session.read(
            WebhookTestInfo, "POST /v1/webhooks/{webhook_id}/test", webhook_id, member=None
        )

    @call
    async def rotate_secret(
        self, webhook_id: str, *, secret: str | None = None, overlap_seconds: int | None = None
    ) -> RotatedWebhookInfo:
        """Give a webhook a new secret; the old one signs along with it for a while, a day by default."""
        overlap = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
        return await self._session.read(
            RotatedWebhookInfo,
            "POST /v1/webhooks/{webhook_id}/rotate-secret",
            webhook_id,
            json={"secret": secret, **overlap},
            member=None,
        )


class DeliveriesApi(DualMode[M]):
    """The deliveries to webhooks."""

    def list(
        self, webhook_id: str, *, status: str | None = None, per_page: int = PAGE_ROWS
    ) -> Results[M, DeliveryInfo]:
        """Return the deliveries to a webhook, newest first."""
        source = PageSource(
            into=DeliveryInfo,
            route="GET /v1/webhooks/{webhook_id}/deliveries",
            ids=(webhook_id,),
            query={"filter[status]": status, "per_page": per_page},
        )
        return Results(self._session, source)

    @call
    async def redeliver(self, webhook_id: str, delivery_id: str) -> DeliveryInfo:
        """Send a delivery again, now, whatever its status."""
        return await self._session.read(
            DeliveryInfo,
            "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
            webhook_id,
            delivery_id,
            member=None,
        )
