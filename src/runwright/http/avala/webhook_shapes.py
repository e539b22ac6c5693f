"""How the API shows webhooks and their deliveries."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import wire_name
from runwright.http.avala.wire import JsonObject, Time, Uid
from runwright.http.times import time_or_none, time_wire
from runwright.webhooks.model import Delivery, DeliveryStatus, EndpointStatus, WebhookEndpoint
from runwright.webhooks.service import WebhookTest

Status = Literal["pending", "delivered", "failed"]

_STATUSES: Final[dict[DeliveryStatus, Status]] = {
    DeliveryStatus.PENDING: "pending",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.ABANDONED: "failed",
}


class WebhookWire(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that wants events."""

    uid: Uid
    target_url: str
    events: list[str]
    is_active: Annotated[bool, Meta(description="False: nothing is sent; also after it answered 410.")]
    secret: Annotated[str, Meta(description="Shown once, when it is created.")] | UnsetType = UNSET
    created_at: Time
    updated_at: Time


class WebhookTestWire(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test."""

    success: bool
    message: str
    detail: str
    response_status: int | None


class DeliveryWire(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook. What receivers answer beyond their status is not kept."""

    uid: Uid
    subscription: Annotated[Uid, Meta(description="The webhook.")]
    event_type: str
    payload: JsonObject | None
    response_status: int | None
    response_body: None = None
    response_body_size: None = None
    response_body_sha256: None = None
    response_preview: None = None
    attempts: int
    error_message: Annotated[str | None, Meta(description="What went wrong the last time.")]
    next_retry_at: Time | None
    status: Status
    created_at: Time
    updated_at: Time


def webhook_wire(endpoint: WebhookEndpoint, secret: str | None = None) -> WebhookWire:
    return WebhookWire(
        uid=uuid_of(endpoint.id),
        target_url=endpoint.url,
        events=endpoint.events,
        is_active=endpoint.status is not EndpointStatus.PAUSED and not endpoint.gone,
        secret=UNSET if secret is None else secret,
        created_at=time_wire(endpoint.created_at),
        updated_at=time_wire(endpoint.updated_at),
    )


def webhook_test_wire(tested: WebhookTest) -> WebhookTestWire:
    message = tested.outcome.error or "The test event was delivered."
    return WebhookTestWire(
        success=tested.outcome.delivered,
        message=message,
        detail=message,
        response_status=tested.outcome.response_status,
    )


def delivery_wire(delivery: Delivery, payload: bytes | None) -> DeliveryWire:
    last = delivery.attempts[-1] if delivery.attempts else None
    changed_at = delivery.completed_at or (last.started_at if last else delivery.created_at)
    return DeliveryWire(
        uid=uuid_of(delivery.id),
        subscription=uuid_of(delivery.endpoint_id),
        event_type=wire_name(delivery.event.type),
        payload=None if payload is None else msgspec.Raw(payload),
        response_status=last.response_status if last else None,
        attempts=delivery.attempt_count,
        error_message=last.error if last else None,
        next_retry_at=time_or_none(delivery.next_attempt_at),
        status=_STATUSES[delivery.status],
        created_at=time_wire(delivery.created_at),
        updated_at=time_wire(max(changed_at, delivery.created_at)),
    )
