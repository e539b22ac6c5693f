"""What requests about webhooks may hold."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.http.ava.paging import PageQuery
from runwright.http.ava.webhook_events import EVENT_PATTERNS, check_events, core_patterns
from runwright.http.checks import Form
from runwright.http.targets import LONGEST_SECRET, check_signing_secret
from runwright.outbox.client.url import LONGEST_URL
from runwright.webhooks.model import (
    OVERLAP_SECONDS,
    DeliveryStatus,
    EndpointStatus,
    WebhookEndpointCreate,
    WebhookEndpointPatch,
)

STYLE: Final = "ava"
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


class CreateWebhookBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A webhook to create."""

    url: Url
    events: Events
    secret: SigningSecret | None = None


class ChangeWebhookBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; fields that are left out stay. A new `secret` replaces all others at once."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    secret: SigningSecret | UnsetType = UNSET
    status: Literal["active", "paused"] | UnsetType = UNSET


class RotateSecretBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new secret, and how long the old one stays valid."""

    secret: SigningSecret | None = None
    overlap_seconds: Overlap = OVERLAP_SECONDS


class DeliveryQuery(PageQuery, frozen=True, kw_only=True):
    """Which deliveries to list."""

    status: Annotated[DeliveryStatus, Meta(description="Only deliveries in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


_READ_ONLY: Final = dict.fromkeys(
    ("id", "tenant_id", "status_reason", "created_by", "created_at", "updated_at"), "Is read-only."
)
_RULES: Final = {"events": check_events, "secret": check_signing_secret}
CREATE_WEBHOOK: Final = Form(
    CreateWebhookBody, _RULES, _READ_ONLY | {"status": "Is read-only here; a new webhook is active."}
)
CHANGE_WEBHOOK: Final = Form(ChangeWebhookBody, _RULES, _READ_ONLY)
ROTATE_SECRET: Final = Form(RotateSecretBody, {"secret": check_signing_secret})
LIST_WEBHOOKS: Final = Form(PageQuery)
LIST_DELIVERIES: Final = Form(DeliveryQuery)


def new_endpoint(body: CreateWebhookBody) -> WebhookEndpointCreate:
    return WebhookEndpointCreate(
        url=body.url,
        events=body.events,
        patterns=core_patterns(body.events),
        secret=body.secret,
    )


def endpoint_changes(body: ChangeWebhookBody) -> WebhookEndpointPatch:
    events = None if body.events is UNSET else body.events
    return WebhookEndpointPatch(
        url=None if body.url is UNSET else body.url,
        events=events,
        patterns=None if events is None else core_patterns(events),
        secret=None if body.secret is UNSET else body.secret,
        status=None if body.status is UNSET else EndpointStatus(body.status),
    )
