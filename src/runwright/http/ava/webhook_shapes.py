"""How the API shows webhooks and their deliveries.

A single one is shown bare, without the envelope `data`: that is how it is published.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.http.ava.webhook_events import event_name
from runwright.http.ava.wire import Time
from runwright.http.times import time_wire
from runwright.webhooks.model import Delivery, DeliveryStatus, EndpointStatus, WebhookEndpoint
from runwright.webhooks.service import WebhookTest

Secret = Annotated[str, Meta(description="Where it was made here: shown this once.")]


class WebhookWire(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that wants events."""

    id: Annotated[str, Meta(description="`wh_` and a lower-case ULID.")]
    url: str
    events: list[str]
    status: Annotated[
        EndpointStatus,
        Meta(description="`degraded` after a delivery was given up, until one or a test succeeds."),
    ]
    created_at: Time
    tenant_id: str
    status_reason: Annotated[str | None, Meta(description="Why it is degraded.")]
    created_by: str
    updated_at: Time
    secret: Secret | UnsetType = UNSET


class RotatedWebhookWire(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with a new secret."""

    webhook: WebhookWire
    secret: Secret | UnsetType = UNSET
    old_secret_valid_until: Time


class AttemptWire(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver."""

    number: int
    started_at: Time
    duration_ms: int
    response_status: Annotated[int | None, Meta(description="Null where there was no answer.")]
    error: Annotated[str | None, Meta(description="What went wrong.")]


class DeliveryWire(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook."""

    id: Annotated[str, Meta(description="`whd_` and a lower-case ULID.")]
    webhook_id: str
    event_id: str
    event: Annotated[str, Meta(description="The event's name.")]
    status: DeliveryStatus
    attempt_count: int
    attempts: Annotated[list[AttemptWire], Meta(description="The latest 20, oldest first.")]
    created_at: Time
    completed_at: Time | None
    next_attempt_at: Annotated[Time | None, Meta(description="Null while it is being sent, and at the end.")]


class TestedWire(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test."""

    success: bool
    event_id: str
    response_status: int | None
    duration_ms: int
    error: str | None
    webhook: WebhookWire


def webhook_wire(endpoint: WebhookEndpoint, secret: str | None = None) -> WebhookWire:
    return WebhookWire(
        id=endpoint.id,
        url=endpoint.url,
        events=endpoint.events,
        status=endpoint.status,
        created_at=time_wire(endpoint.created_at),
        tenant_id=endpoint.tenant_id,
        status_reason=endpoint.status_reason,
        created_by=endpoint.created_by,
        updated_at=time_wire(endpoint.updated_at),
        secret=UNSET if secret is None else secret,
    )


def delivery_wire(delivery: Delivery) -> DeliveryWire:
    attempts = [
        AttemptWire(
            number=one.number,
            started_at=time_wire(one.started_at),
            duration_ms=one.duration_ms,
            response_status=one.response_status,
            error=one.error,
        )
        for one in delivery.attempts
    ]
    over, due = delivery.completed_at, delivery.next_attempt_at
    return DeliveryWire(
        id=delivery.id,
        webhook_id=delivery.endpoint_id,
        event_id=delivery.event.id,
        event=event_name(delivery.event),
        status=delivery.status,
        attempt_count=delivery.attempt_count,
        attempts=attempts,
        created_at=time_wire(delivery.created_at),
        completed_at=None if over is None else time_wire(over),
        next_attempt_at=None if due is None else time_wire(due),
    )


def tested_wire(tested: WebhookTest) -> TestedWire:
    return TestedWire(
        success=tested.outcome.delivered,
        event_id=tested.event.id,
        response_status=tested.outcome.response_status,
        duration_ms=tested.outcome.duration_ms,
        error=tested.outcome.error,
        webhook=webhook_wire(tested.endpoint),
    )
