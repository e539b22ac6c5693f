"""The schemas of webhooks and their deliveries.

A single webhook is returned without the envelope `data`: that is how the API is published.
"""

from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.http.ava.envelopes import PageQuery, Time, optional, read_only
from runwright.http.ava.webhooks.event_names import EVENT_PATTERNS, check_events, core_patterns, event_name
from runwright.http.fields import LONGEST_SECRET, check_signing_secret, to_out
from runwright.http.validation import Validator
from runwright.outbox.client.url import LONGEST_URL
from runwright.webhooks.model import (
    OVERLAP_SECONDS,
    Delivery,
    DeliveryStatus,
    EndpointStatus,
    WebhookEndpoint,
    WebhookEndpointCreate,
    WebhookEndpointPatch,
)
from runwright.webhooks.service import WebhookTest

FORMAT: Final = "ava"
_LONGEST_OVERLAP: Final = 7 * 24 * 3600

Url = Annotated[
    str,
    Meta(
        description="Where to send events: https, a public host, no user name, no fragment.",
        examples=["https://hooks.example.com/runwright"],
        extra_json_schema={"maxLength": LONGEST_URL},
    ),
]
Events = Annotated[
    list[str],
    Meta(
        description=f"Which events: {', '.join(f'`{name}`' for name in EVENT_PATTERNS)}.",
        extra_json_schema={
            "minItems": 1,
            "maxItems": len(EVENT_PATTERNS),
            "uniqueItems": True,
            "items": {"type": "string", "enum": list(EVENT_PATTERNS)},
        },
    ),
]
SigningSecret = Annotated[
    str,
    Meta(
        description="Signs what is sent: printable ASCII without spaces. Default: one is made,"
        " and shown once.",
        extra_json_schema={"pattern": f"^[!-~]{{1,{LONGEST_SECRET}}}$"},
    ),
]
Overlap = Annotated[
    int, Meta(ge=0, le=_LONGEST_OVERLAP, description="How long the old secret signs along with the new one.")
]

Secret = Annotated[str, Meta(description="Where it was made here: shown this once.")]


class WebhookIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A webhook to create."""

    openapi_name: ClassVar[str] = "CreateWebhookBody"

    url: Url
    events: Events
    secret: SigningSecret | None = None


class WebhookPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; fields that are left out stay. A new `secret` replaces all others at once."""

    openapi_name: ClassVar[str] = "ChangeWebhookBody"

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    secret: SigningSecret | UnsetType = UNSET
    status: Literal["active", "paused"] | UnsetType = UNSET


class RotateSecretIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new secret, and how long the old one stays valid."""

    openapi_name: ClassVar[str] = "RotateSecretBody"

    secret: SigningSecret | None = None
    overlap_seconds: Overlap = OVERLAP_SECONDS


class DeliveryQuery(PageQuery, frozen=True, kw_only=True):
    """Which deliveries to list."""

    status: Annotated[DeliveryStatus, Meta(description="Only deliveries in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


class WebhookOut(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that events are sent to."""

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


class RotatedWebhookOut(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with a new secret."""

    webhook: WebhookOut
    secret: Secret | UnsetType = UNSET
    old_secret_valid_until: Time


class DeliveryAttemptOut(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver."""

    openapi_name: ClassVar[str] = "webhook_Attempt"

    number: int
    started_at: Time
    duration_ms: int
    response_status: Annotated[int | None, Meta(description="Null where there was no answer.")]
    error: Annotated[str | None, Meta(description="What went wrong.")]


class DeliveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook."""

    id: Annotated[str, Meta(description="`whd_` and a lower-case ULID.")]
    webhook_id: str
    event_id: str
    event: Annotated[str, Meta(description="The event's name.")]
    status: DeliveryStatus
    attempt_count: int
    attempts: Annotated[list[DeliveryAttemptOut], Meta(description="The latest 20, oldest first.")]
    created_at: Time
    completed_at: Time | None
    next_attempt_at: Annotated[Time | None, Meta(description="Null while it is being sent, and at the end.")]


class TestedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test."""

    success: bool
    event_id: str
    response_status: int | None
    duration_ms: int
    error: str | None
    webhook: WebhookOut


_READ_ONLY: Final = read_only(WebhookIn, WebhookOut)
_RULES: Final = {"events": check_events, "secret": check_signing_secret}
CREATE_WEBHOOK: Final = Validator(
    WebhookIn, _RULES, _READ_ONLY | {"status": "Is read-only here; a new webhook is active."}
)
CHANGE_WEBHOOK: Final = Validator(WebhookPatch, _RULES, _READ_ONLY)
ROTATE_SECRET: Final = Validator(RotateSecretIn, {"secret": check_signing_secret})
LIST_WEBHOOKS: Final = Validator(PageQuery)
LIST_DELIVERIES: Final = Validator(DeliveryQuery)


def new_endpoint(body: WebhookIn) -> WebhookEndpointCreate:
    return WebhookEndpointCreate(
        url=body.url,
        events=body.events,
        patterns=core_patterns(body.events),
        secret=body.secret,
    )


def endpoint_changes(body: WebhookPatch) -> WebhookEndpointPatch:
    events = optional(body.events)
    return WebhookEndpointPatch(
        url=optional(body.url),
        events=events,
        patterns=None if events is None else core_patterns(events),
        secret=optional(body.secret),
        status=None if body.status is UNSET else EndpointStatus(body.status),
    )


def webhook_out(endpoint: WebhookEndpoint, secret: str | None = None) -> WebhookOut:
    return to_out(WebhookOut, endpoint, secret=UNSET if secret is None else secret)


def delivery_out(delivery: Delivery) -> DeliveryOut:
    return to_out(
        DeliveryOut,
        delivery,
        webhook_id=delivery.endpoint_id,
        event_id=delivery.event.id,
        event=event_name(delivery.event),
        attempts=[to_out(DeliveryAttemptOut, attempt) for attempt in delivery.attempts],
    )


def tested_out(tested: WebhookTest) -> TestedOut:
    return to_out(
        TestedOut,
        tested.outcome,
        success=tested.outcome.delivered,
        event_id=tested.event.id,
        webhook=webhook_out(tested.endpoint),
    )
