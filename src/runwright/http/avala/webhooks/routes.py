"""The routes and schemas of webhook endpoints."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.ids import uuid_of
from runwright.http.avala.authorization import READS, WRITES
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.event_names import check_events, core_patterns
from runwright.http.avala.fields import Time, Uid, https_url
from runwright.http.avala.requests import PAGE, Page, PageQuery, internal_id, page_out, read_body, read_window
from runwright.http.fields import LONGEST_SECRET, check_signing_secret, to_out
from runwright.http.request import Request
from runwright.http.routing import Routes
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
    list[str],
    Meta(
        description="The documented events, `agent.action`, `custom.…`, and `ava.…` for events of this"
        " server (`ava.job.failed`, `ava.job.*`, `ava.*`)."
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


ROUTES: Final = Routes(AVALA, f"{PREFIX}/webhooks", tag="Webhooks")
T = TypeVar("T", bound=msgspec.Struct)
B = TypeVar("B", WebhookReplacement, WebhookPatch)

_EXAMPLE: Final = {"target_url": "https://hooks.example.com/avala", "events": ["result.submitted"]}


@ROUTES.add("GET", "", READS, "List webhooks", query=PageQuery, errors=(404,))
async def list_webhooks(request: Request) -> Page[WebhookOut]:
    window = read_window(request.query(PAGE), "wh")
    view = await request.services.avala_endpoints.view(request.tenant_id, window)
    return page_out(request, view, [webhook_out(one) for one in view.rows])


@ROUTES.add("POST", "", WRITES, "Create a webhook", body=WebhookIn, errors=(409,), example=_EXAMPLE)
async def create_webhook(request: Request) -> WebhookOut:
    """It gets the events that happen from now on. Only this response has its secret."""
    new = endpoint_create(await _read(request, CREATE_WEBHOOK))
    endpoint, _ = await request.services.avala_endpoints.create(request.caller, new)
    return webhook_out(endpoint, new.secret)


@ROUTES.add("GET", "/{uid}", READS, "Get a webhook", errors=(404,))
async def get_webhook(request: Request) -> WebhookOut:
    return webhook_out(await request.services.avala_endpoints.get(request.tenant_id, _endpoint_id(request)))


@ROUTES.add(
    "PUT",
    "/{uid}",
    WRITES,
    "Replace a webhook",
    body=WebhookReplacement,
    errors=(404,),
    example=_EXAMPLE,
)
async def replace_webhook(request: Request) -> WebhookOut:
    """Replaces all fields except the secret."""
    return await _change(request, REPLACE_WEBHOOK)


@ROUTES.add(
    "PATCH",
    "/{uid}",
    WRITES,
    "Update a webhook",
    body=WebhookPatch,
    errors=(404,),
    example={"is_active": False},
)
async def change_webhook(request: Request) -> WebhookOut:
    return await _change(request, CHANGE_WEBHOOK)


@ROUTES.add("DELETE", "/{uid}", WRITES, "Delete a webhook", errors=(404,))
async def delete_webhook(request: Request) -> None:
    """Deletes the webhook and its deliveries, pending ones too."""
    await request.services.avala_endpoints.delete(request.caller, _endpoint_id(request))


@ROUTES.add("POST", "/{uid}/test", WRITES, "Test a webhook", status=200, errors=(404,))
async def test_webhook(request: Request) -> WebhookTestOut:
    """Sends a `webhook.test` once, now, and returns the outcome."""
    return webhook_test_out(
        await request.services.avala_endpoints.test(request.caller, _endpoint_id(request))
    )


def _endpoint_id(request: Request) -> str:
    return internal_id("wh", request.params["uid"])


async def _read(request: Request, validator: Validator[T]) -> T:
    rules = {"target_url": https_url("target_url", request.services.outgoing)}
    return await read_body(request, validator, rules)


async def _change(request: Request, validator: Validator[B]) -> WebhookOut:
    endpoints, endpoint_id = request.services.avala_endpoints, _endpoint_id(request)
    await endpoints.get(request.tenant_id, endpoint_id)  # others' endpoints are 404 whatever the body is
    body = await _read(request, validator)
    return webhook_out(await endpoints.change(request.caller, endpoint_id, endpoint_patch(body)))
