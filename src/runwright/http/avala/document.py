"""The OpenAPI document of the Avala API, and its route, which needs no key."""

from collections.abc import Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from runwright import __version__
from runwright.http.avala.dialect import AVALA, MEANINGS, PREFIX, Detail
from runwright.http.avala.sent_requests import SENT_REQUESTS
from runwright.http.openapi import (
    REFERENCE,
    DocumentStyle,
    Json,
    describe_routes,
    document_route,
    number_header,
)
from runwright.http.routing import Route, Routes
from runwright.http.status_phrases import status_phrase

TAGS: Final = ("Agents", "Executions", "Webhooks", "Organizations")

_UID: Final[Json] = {"type": "string", "format": "uuid"}
_INTRODUCTION: Final = """\
The Avala API, compatible with its SDKs, its command line and its agents. Fields and routes that this
server adds are marked as ours. Paths work with and without a slash at the end; there are no redirects.

Lists are newest first; follow `next` and `previous` unchanged. Unknown query parameters and unknown fields
of bodies are ignored. All invalid fields are reported at once, as `{"field": ["message", …]}`; every other
error is `{"detail": "…"}`.

The key in `X-Avala-Api-Key` determines the organization. Reads need any role, an agent's work
`tenant-member`, a person's decision `tenant-admin`, and changes of agents and webhooks
`tenant-system-admin`, or above."""


def document_routes(described: Sequence[Route]) -> Routes:
    """Return the route of the OpenAPI document of these routes."""
    return document_route(AVALA, PREFIX, partial(describe_api, described, __version__))


def describe_api(routes: Iterable[Route], version: str) -> Json:
    """Return the OpenAPI document of the routes."""
    style = DocumentStyle(
        title="Runwright: Avala API",
        introduction=_INTRODUCTION,
        tags=TAGS,
        path_parameters={"uid": _UID, "slug": {"type": "string"}},
        security_schemes={"apiKey": {"type": "apiKey", "in": "header", "name": "X-Avala-Api-Key"}},
        parameters={},
        headers={"x-request-id": _REQUEST_ID, **_RATE_HEADERS},
        errors={
            meaning.status: _error_response(meaning.status, meaning.when) for meaning in MEANINGS.values()
        },
        types=(Detail,),
        any_route=(400, 401, 403, 429, 500, 503),
        any_body=(408, 413),
        webhooks=SENT_REQUESTS,
        end_slash=True,
    )
    return describe_routes(routes, version, style)


_REQUEST_ID: Final[Json] = {
    "description": "The id of this request.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}


_RATE_HEADERS: Final[Json] = {
    "x-ratelimit-limit": number_header("The number of requests that the organization may make at once."),
    "x-ratelimit-remaining": number_header("The number of them that are left."),
    "x-ratelimit-reset": number_header("When all of them are available again, in seconds since 1970."),
}
_RETRIED: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def _error_response(status: int, when: str) -> Json:
    schema: Json = {"$ref": REFERENCE.format(name="Detail")}
    if status == HTTPStatus.BAD_REQUEST:
        messages = {"type": "array", "items": {"type": "string"}}
        schema = {"anyOf": [schema, {"type": "object", "additionalProperties": messages}]}
    headers: Json = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    if status in _RETRIED:
        headers["retry-after"] = number_header("The number of seconds to wait before trying again.")
    return {
        "description": f"{status_phrase(status)}: {when}",
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
    }
