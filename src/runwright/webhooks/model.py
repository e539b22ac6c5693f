"""Webhook endpoints, deliveries and their attempts.

A delivery is *pending* until it is *delivered* (a 2xx in time) or *abandoned* (the last retry failed, or
the endpoint answered that it is gone).

An endpoint is *active*; *degraded* after a delivery was abandoned, until any delivery or a test succeeds:
deliveries continue, one at a time; *paused* by its owner: nothing is sent, and events of that time are not
kept for it. A degraded one that answered 410 is `gone`: nothing but tests is sent until one succeeds or
its owner activates it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from runwright.core.ids import DeliveryId, EndpointId
from runwright.events.model import Event
from runwright.outbox.queue import OutboxClaim
from runwright.secrets.model import EncryptedValue

ENDPOINTS_PER_TENANT: Final = 50
RETRY_SECONDS: Final = (5.0, 30.0, 300.0, 1_800.0, 7_200.0)
"""The delay after each failed attempt; after the last one there is no retry."""

RESPONSE_SECONDS: Final = 10.0
"""Timeout of one attempt."""

_GONE: Final = 410

OVERLAP_SECONDS: Final = 24 * 3600
"""How long an old secret signs beside a new one by default."""


class EndpointStatus(StrEnum):
    """Whether deliveries are sent to an endpoint."""

    ACTIVE = "active"
    PAUSED = "paused"
    DEGRADED = "degraded"


class DeliveryStatus(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that receives events."""

    id: EndpointId
    tenant_id: str
    style: str
    """The name of its payload format."""
    url: str
    events: list[str]
    """The names of the payload format."""
    patterns: list[str]
    """The same as patterns of event types."""
    status: EndpointStatus
    status_reason: str | None
    gone: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


class WebhookEndpointCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A validated request to create an endpoint."""

    url: str
    events: list[str]
    patterns: list[str]
    """The same as patterns of event types."""
    secret: str | None
    active: bool = True


class WebhookEndpointPatch(msgspec.Struct, frozen=True, kw_only=True):
    """A validated request to change an endpoint; None leaves a field unchanged."""

    url: str | None = None
    events: list[str] | None = None
    patterns: list[str] | None = None
    secret: str | None = None
    status: EndpointStatus | None = None


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a delivery."""

    number: int
    started_at: datetime
    duration_ms: int
    response_status: int | None
    error: str | None
    """Why it failed, for the endpoint's owner."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one endpoint, with its latest attempts."""

    id: DeliveryId
    endpoint_id: str
    event: Event
    status: DeliveryStatus
    attempt_count: int
    created_at: datetime
    completed_at: datetime | None
    next_attempt_at: datetime | None
    attempts: list[DeliveryAttempt]
    """The latest ones, oldest first."""


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to send a delivery once."""

    claim: OutboxClaim
    style: str
    url: str
    secrets: list[EncryptedValue]
    event: Event


class DeliveryOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one attempt."""

    started_at: datetime
    duration_ms: int
    response_status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    """That header of the response."""

    @property
    def delivered(self) -> bool:
        """Whether the endpoint accepted it."""
        return self.error is None

    @property
    def gone(self) -> bool:
        """Whether the endpoint answered that it is gone for good."""
        return self.response_status == _GONE
