"""AVA's OpenAPI document, and its routes, which need no key: both are the same for every tenant."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from starlette.responses import Response

from runwright import __version__
from runwright.core.roles import ROLES
from runwright.http.ava.dialect import AVA, MEANINGS, ErrorBody
from runwright.http.ava.document_page import PAGE_POLICY, render_page
from runwright.http.ava.versions.schemas import VERSION_PATTERN
from runwright.http.ava.webhooks.sent_requests import SENT_REQUESTS, SENT_TYPES
from runwright.http.ava.workers.rules import ENV_NAME
from runwright.http.openapi import (
    REFERENCE,
    DocumentStyle,
    Json,
    LateDocument,
    describe_routes,
    document_route,
    number_header,
)
from runwright.http.request import Request
from runwright.http.routing import Route, Routes
from runwright.http.status_phrases import status_phrase
from runwright.runtimes.handler_calls import KEY_PATTERN

_HTML: Final = "text/html"


TAGS: Final = (
    *("Workers", "Secrets", "Jobs", "Schedules", "Queues", "Analytics"),
    *("Inbox", "Events", "Webhooks", "Runtimes", "Tenants", "Keys", "Audit", "System"),
)
_ID_PATTERNS: Final = {
    "version": VERSION_PATTERN,
    "name": ENV_NAME,
    "key": KEY_PATTERN,
    "worker_id": "^wkr_[0-9a-z]{26}$",
    "job_id": "^job_[0-9a-z]{26}$",
    "schedule_id": "^sch_[0-9a-z]{26}$",
    "webhook_id": "^wh_[0-9a-z]{26}$",
    "key_id": "^key_[0-9a-z]{26}$",
    "tenant_id": "^[A-Za-z0-9_.-]{1,128}$",
    "operation_id": "^blk_[0-9a-z]{26}$",
    "backfill_id": "^bfl_[0-9a-z]{26}$",
    "share_id": "^shr_[0-9a-z]{26}$",
    "item_id": "^[a-z]{2,4}_[0-9a-z]{26}$",
    "event_id": "^evt_[0-9a-z]{26}$",
    "delivery_id": "^whd_[0-9a-z]{26}$",
}

_INTRODUCTION: Final = """\
Define workers (code to run), run them as jobs, read what they logged.

Every success is `{"data": …}`; lists add `pagination`. Times are ISO 8601 in UTC with milliseconds.
Every response has `x-request-id`; send your own (letters, digits, `_`, `-`, at most 64) to find it again.

A platform key names tenant, user and role in the headers, all three. A tenant key is bound to one tenant
and one highest role: the headers are optional, may lower the role, and get 403 where they claim more.
Reads need any role, writes `tenant-system-admin` or above.

Every response to an authenticated caller has `x-ratelimit-…` headers with the requests that the tenant has
left; if there are none, it is a 429 with `retry-after`."""


def document_routes(described: Sequence[Route]) -> Routes:
    """Return the routes of the document of these routes."""
    describe = partial(describe_api, described, __version__)
    routes = document_route(AVA, "/v1/ava", describe)
    page = LateDocument(lambda: render_page(describe()).encode())

    @routes.add("GET", "/docs", None)
    async def show_page(_: Request) -> Response:
        return Response(await page.read(), headers={"content-security-policy": PAGE_POLICY}, media_type=_HTML)

    return routes


def describe_api(routes: Iterable[Route], version: str) -> Json:
    """Return the OpenAPI document of the routes that have a summary."""
    style = DocumentStyle(
        title="Runwright: AVA Workers API",
        introduction=_INTRODUCTION,
        tags=TAGS,
        path_parameters={
            name: {"type": "string", "pattern": pattern} for name, pattern in _ID_PATTERNS.items()
        },
        security_schemes={
            "internalSecret": {"type": "apiKey", "in": "header", "name": "x-internal-secret"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        parameters=_shared_parameters(),
        headers={"x-request-id": _REQUEST_ID, **_RATE_HEADERS},
        errors={meaning.status: _error_response(meaning.status) for meaning in MEANINGS.values()},
        types=(ErrorBody, *SENT_TYPES),
        webhooks=SENT_REQUESTS,
        any_route=(400, 401, 403, 429, 500, 503),
        any_body=(408, 413),
    )
    return describe_routes(routes, version, style)


_REQUEST_ID: Final[Json] = {
    "description": "The id of this request; in an error also `error.request_id`.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}


_RATE_HEADERS: Final[Json] = {
    "x-ratelimit-limit": number_header("How many requests the tenant may make at once."),
    "x-ratelimit-remaining": number_header("How many of them are left."),
    "x-ratelimit-reset": number_header("When all of them are there again: seconds since 1970."),
}
_RETRY_AFTER: Final = number_header("After how many seconds to try again.", required=True)
_RETRIED: Final = (429, 503)


def _shared_parameters() -> Json:
    an_id = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"}

    def header(name: str, description: str, schema: Json) -> Json:
        return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}

    return {
        "tenant": header("x-tenant-id", "For which tenant. Required with a platform key.", an_id),
        "user": header("x-user-id", "For which user. Required with a platform key.", an_id),
        "role": header(
            "x-platform-role",
            "In which role. Required with a platform key.",
            {"type": "string", "enum": list(ROLES)},
        ),
        "requestId": header(
            "x-request-id",
            "Your own id for this request: letters, digits, `_`, `-`, at most 64; another form is replaced.",
            {"type": "string"},
        ),
        "idempotencyKey": header(
            "Idempotency-Key",
            "The same key with the same body within 24 hours returns the first answer with 200; "
            "with another body it is a 409.",
            {"type": "string", "pattern": "^[ -~]{1,255}$"},
        ),
    }


def _error_response(status: int) -> Json:
    meanings = [meaning for meaning in MEANINGS.values() if meaning.status == status]
    words = " ".join(f"`{meaning.code}`: {meaning.when}" for meaning in meanings)
    headers: Json = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    if status in _RETRIED:
        headers["retry-after"] = _RETRY_AFTER
    return {
        "description": f"{status_phrase(status)}. {words}",
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name="ErrorBody")}}},
    }
