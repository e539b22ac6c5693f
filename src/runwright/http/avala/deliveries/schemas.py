"""The schemas of deliveries to webhook endpoints."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import wire_name
from runwright.http.avala.fields import JsonObject, Time, Uid
from runwright.http.fields import format_optional_time, format_time
from runwright.webhooks.model import Delivery, DeliveryStatus

Status = Literal["pending", "delivered", "failed"]

_STATUSES: Final[dict[DeliveryStatus, Status]] = {
    DeliveryStatus.PENDING: "pending",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.ABANDONED: "failed",
}


class DeliveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one webhook. Of responses only the status is kept."""

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
    error_message: Annotated[str | None, Meta(description="Why the latest attempt failed.")]
    next_retry_at: Time | None
    status: Status
    created_at: Time
    updated_at: Time


def delivery_out(delivery: Delivery, payload: bytes | None) -> DeliveryOut:
    last = delivery.attempts[-1] if delivery.attempts else None
    changed_at = delivery.completed_at or (last.started_at if last else delivery.created_at)
    return DeliveryOut(
        uid=uuid_of(delivery.id),
        subscription=uuid_of(delivery.endpoint_id),
        event_type=wire_name(delivery.event.type),
        payload=None if payload is None else msgspec.Raw(payload),
        response_status=last.response_status if last else None,
        attempts=delivery.attempt_count,
        error_message=last.error if last else None,
        next_retry_at=format_optional_time(delivery.next_attempt_at),
        status=_STATUSES[delivery.status],
        created_at=format_time(delivery.created_at),
        updated_at=format_time(max(changed_at, delivery.created_at)),
    )
