"""Webhooks and their deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict

import msgspec

from runwright.client.models.base import Info


class WebhookInfo(Info, frozen=True, kw_only=True):
    """A URL that events are sent to; `secret` only where the server has just made it."""

    id: str
    url: str
    events: list[str]
    status: str
    """`active`, `paused` or `degraded`."""
    created_at: datetime
    tenant_id: str
    status_reason: str | None = None
    created_by: str
    updated_at: datetime
    secret: str | None = None

    def __repr__(self) -> str:
        return (
            f"WebhookInfo(id={self.id!r}, url={self.url!r}, events={self.events!r}, status={self.status!r})"
        )


class RotatedWebhookInfo(Info, frozen=True, kw_only=True):
    """A webhook with a new secret."""

    webhook: WebhookInfo
    secret: str | None = None
    old_secret_valid_until: datetime

    def __repr__(self) -> str:
        return f"RotatedWebhookInfo(webhook={self.webhook!r})"


class WebhookTestInfo(Info, frozen=True, kw_only=True):
    """The outcome of a test."""

    success: bool
    event_id: str
    response_status: int | None = None
    duration_ms: int
    error: str | None = None
    webhook: WebhookInfo


class DeliveryAttemptInfo(Info, frozen=True, kw_only=True):
    """One try to deliver."""

    number: int
    started_at: datetime
    duration_ms: int
    response_status: int | None = None
    error: str | None = None


class DeliveryInfo(Info, frozen=True, kw_only=True):
    """One event on its way to one webhook."""

    id: str
    webhook_id: str
    event_id: str
    event: str
    status: str
    attempt_count: int
    attempts: list[DeliveryAttemptInfo] = msgspec.field(default_factory=list)
    created_at: datetime
    completed_at: datetime | None = None
    next_attempt_at: datetime | None = None


class WebhookUpdate(TypedDict, total=False):
    """The fields of a webhook that can be changed; a new secret replaces all others at once."""

    url: str
    events: Sequence[str]
    secret: str
    status: Literal["active", "paused"]
