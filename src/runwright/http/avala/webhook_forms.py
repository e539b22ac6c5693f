"""What requests about webhooks may hold; fields that are not known are passed over."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.http.avala.event_names import check_events, core_patterns
from runwright.http.checks import Form, Problem
from runwright.http.targets import LONGEST_SECRET, check_signing_secret
from runwright.outbox.client.url import LONGEST_URL
from runwright.webhooks.model import EndpointStatus, WebhookEndpointCreate, WebhookEndpointPatch

STYLE: Final = "avala"
_SECRET_BYTES: Final = 20

TargetUrl = Annotated[
    str, Meta(description="Where to send events: https.", extra_json_schema={"maxLength": LONGEST_URL})
]
Events = Annotated[
    list[str],
    Meta(
        description="The documented events, `agent.action`, `custom.…`, and `ava.…` for what happens on this"
        " server (`ava.job.failed`, `ava.job.*`, `ava.*`)."
    ),
]
SigningSecret = Annotated[
    str,
    Meta(
        description="Signs what is sent. Default: one is made.",
        extra_json_schema={"pattern": f"^[!-~]{{1,{LONGEST_SECRET}}}$"},
    ),
]
Active = Annotated[bool, Meta(description="Whether events are sent; of the time while not, none is kept.")]


class NewWebhookBody(msgspec.Struct, kw_only=True):
    """A webhook to create."""

    target_url: TargetUrl
    events: Events
    is_active: Active = True
    secret: SigningSecret | None = None


class WholeWebhookBody(msgspec.Struct, kw_only=True):
    """What a webhook is to be."""

    target_url: TargetUrl
    events: Events
    is_active: Active = True


class WebhookChangesBody(msgspec.Struct, kw_only=True):
    """What to change of a webhook; fields that are left out stay."""

    target_url: TargetUrl | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    is_active: Active | UnsetType = UNSET


def _check_events(names: Sequence[str]) -> Iterable[Problem]:
    if not names:
        yield "", "This list may not be empty."
    yield from check_events(names)


_RULES: Final = {"events": _check_events}
NEW_WEBHOOK: Final = Form(NewWebhookBody, {**_RULES, "secret": check_signing_secret}, lenient=True)
WHOLE_WEBHOOK: Final = Form(WholeWebhookBody, _RULES, lenient=True)
WEBHOOK_CHANGES: Final = Form(WebhookChangesBody, _RULES, lenient=True)


def new_endpoint(body: NewWebhookBody) -> WebhookEndpointCreate:
    return WebhookEndpointCreate(
        url=body.target_url,
        events=list(dict.fromkeys(body.events)),
        patterns=core_patterns(body.events),
        secret=body.secret or secrets.token_hex(_SECRET_BYTES),
        active=body.is_active,
    )


def endpoint_changes(body: WholeWebhookBody | WebhookChangesBody) -> WebhookEndpointPatch:
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
