"""Endpoints, deliveries and their attempts.

A delivery is *pending* until it is *delivered* (a 2xx in time) or *abandoned* (the ladder of
retries is over, or the endpoint said that it is gone).

An endpoint is *active*; *degraded* after a delivery was abandoned, until any delivery or a test
succeeds: it is still sent to, over one connection; *paused* by its owner: nothing is sent, and
events of that time are not kept for it. A degraded one that answered 410 is `gone`: it is sent
nothing but tests until one succeeds or its owner makes it active.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from runwright.events.model import Event
from runwright.secrets.model import EncryptedValue

ENDPOINTS_PER_TENANT: Final = 50
RETRY_SECONDS: Final = (5.0, 30.0, 300.0, 1_800.0, 7_200.0)
"""The ladder: how long after each failure the next attempt comes; after the last one there is none."""

RESPONSE_SECONDS: Final = 10.0
"""An answer that is not there by then has failed."""

OVERLAP_SECONDS: Final = 24 * 3600
"""How long an old secret signs along with a new one, unless the caller says otherwise."""


class EndpointStatus(StrEnum):
    """Whether an endpoint is sent to."""

    ACTIVE = "active"
    PAUSED = "paused"
    DEGRADED = "degraded"


class DeliveryStatus(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    ABANDONED = "abandoned"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that wants events."""

    id: str
    tenant_id: str
    style: str
    url: str
    events: list[str]
    """As the dialect names them."""
    patterns: list[str]
    """What they mean to the core."""
    status: EndpointStatus
    status_reason: str | None
    gone: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller gives to create an endpoint; already validated."""

    url: str
    events: list[str]
    patterns: list[str]
    """What the events mean to the core."""
    secret: str | None
    active: bool = True


class EndpointChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; None stays."""

    url: str | None = None
    events: list[str] | None = None
    patterns: list[str] | None = None
    secret: str | None = None
    status: EndpointStatus | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver."""

    number: int
    started_at: datetime
    duration_ms: int
    response_status: int | None
    error: str | None
    """What went wrong, for the endpoint's owner."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    id: str
    endpoint_id: str
    event: Event
    status: DeliveryStatus
    attempt_count: int
    created_at: datetime
    completed_at: datetime | None
    next_attempt_at: datetime | None
    attempts: list[Attempt]
    """The latest ones, oldest first."""


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery: all that is needed to send it. (id, fence) is its fencing token."""

    delivery_id: str
    fence: int
    step: int
    endpoint_id: str
    style: str
    url: str
    secrets: list[EncryptedValue]
    event: Event


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt went."""

    started_at: datetime
    duration_ms: int
    response_status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether it arrived."""
        return self.error is None
