"""The schemas of webhook endpoints."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import MOST_NAMES, EventName, check_events, core_patterns
from runwright.http.avala.fields import Time, Uid
from runwright.http.fields import LONGEST_SECRET, check_signing_secret, to_out
from runwright.http.validation import Problem, Validator
from runwright.outbox.client.url import LONGEST_URL
from runwright.webhooks.model import (
    EndpointStatus,
    WebhookEndpoint,
    WebhookEndpointCreate,
    WebhookEndpointPatch,
)
from runwright.webhooks.service import WebhookTest

FORMAT: Final = "avala"
_SECRET_BYTES: Final = 20

TargetUrl = Annotated[
    str, Meta(description="Where to send events: https.", extra_json_schema={"maxLength": LONGEST_URL})
]
Events = Annotated[
    list[EventName],
    Meta(
        description="The documented events, `agent.action`, `custom.…`, and `ava.…` for events of this"
        " server (`ava.job.failed`, `ava.job.*`, `ava.*`).",
        extra_json_schema={"minItems": 1, "maxItems": MOST_NAMES},
    ),
]
SigningSecret = Annotated[
    str,
    Meta(
        description="Signs deliveries. Default: a random one.",
        extra_json_schema={"pattern": f"^[!-~]{{1,{LONGEST_SECRET}}}$"},
    ),
]
Active = Annotated[bool, Meta(description="Whether events are sent; those of an inactive time are not kept.")]


class WebhookIn(msgspec.Struct, kw_only=True):
    """A webhook to create."""

    openapi_name: ClassVar[str] = "NewWebhookBody"

    target_url: TargetUrl
    events: Events
    is_active: Active = True
    secret: SigningSecret | None = None


class WebhookReplacement(msgspec.Struct, kw_only=True):
    """All fields of a webhook."""

    openapi_name: ClassVar[str] = "WholeWebhookBody"

    target_url: TargetUrl
    events: Events
    is_active: Active = True


class WebhookPatch(msgspec.Struct, kw_only=True):
    """The fields of a webhook to change; omitted ones are left unchanged."""

    openapi_name: ClassVar[str] = "WebhookChangesBody"

    target_url: TargetUrl | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    is_active: Active | UnsetType = UNSET


def _check_events(names: Sequence[str]) -> Iterable[Problem]:
    if not names:
        yield "", "This list may not be empty."
    yield from check_events(names)


_RULES: Final = {"events": _check_events}
CREATE_WEBHOOK: Final = Validator(WebhookIn, {**_RULES, "secret": check_signing_secret}, lenient=True)
REPLACE_WEBHOOK: Final = Validator(WebhookReplacement, _RULES, lenient=True)
CHANGE_WEBHOOK: Final = Validator(WebhookPatch, _RULES, lenient=True)


def endpoint_create(body: WebhookIn) -> WebhookEndpointCreate:
    return WebhookEndpointCreate(
        url=body.target_url,
        events=list(dict.fromkeys(body.events)),
        patterns=core_patterns(body.events),
        secret=body.secret or secrets.token_hex(_SECRET_BYTES),
        active=body.is_active,
    )


def endpoint_patch(body: WebhookReplacement | WebhookPatch) -> WebhookEndpointPatch:
    events = None if body.events is UNSET else list(dict.fromkeys(body.events))
    status = None
    if body.is_active is not UNSET:
        status = EndpointStatus.ACTIVE if body.is_active else EndpointStatus.PAUSED
    return WebhookEndpointPatch(
        url=None if body.target_url is UNSET else body.target_url,
        events=events,
        patterns=None if events is None else core_patterns(events),
        status=status,
    )


class WebhookOut(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that receives events."""

    uid: Uid
    target_url: str
    events: list[str]
    is_active: Annotated[bool, Meta(description="False: nothing is sent; also after it answered 410.")]
    secret: Annotated[str, Meta(description="Shown once, when it is created.")] | UnsetType = UNSET
    created_at: Time
    updated_at: Time


class WebhookTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a test."""

    success: bool
    message: str
    detail: str
    response_status: int | None


def webhook_out(endpoint: WebhookEndpoint, secret: str | None = None) -> WebhookOut:
    return to_out(
        WebhookOut,
        endpoint,
        uid=uuid_of(endpoint.id),
        target_url=endpoint.url,
        is_active=endpoint.status is not EndpointStatus.PAUSED and not endpoint.gone,
        secret=UNSET if secret is None else secret,
    )


def webhook_test_out(test: WebhookTest) -> WebhookTestOut:
    message = test.outcome.error or "The test event was delivered."
    return WebhookTestOut(
        success=test.outcome.delivered,
        message=message,
        detail=message,
        response_status=test.outcome.response_status,
    )
