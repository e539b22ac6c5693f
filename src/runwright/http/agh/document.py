"""The OpenAPI document of the AGH API, and its route, which needs no key."""

from collections.abc import Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from runwright import __version__
from runwright.http.agh.errors import AGH, WHEN, ErrorBody
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

TAGS: Final = ("Jobs", "Triggers", "Runs", "Events", "Webhooks", "Tasks")

_PATHS: Final = ("job_id", "trigger_id", "run_id", "task_id", "endpoint", "workspace_id")
_ID: Final[Json] = {"type": "string", "pattern": r"^[^\s/]+$"}
_ENDPOINT: Final[Json] = {
    "type": "string",
    "pattern": r"^[^\s/]+--wbh_[^\s/]*$",
    "description": "The trigger's `endpoint_slug` and its `webhook_id`.",
}
_INTRODUCTION: Final = """\
The AGH automation API: prompts for agents, fired by schedules, by events and by signed webhooks. Fields and
routes that AGH does not have are marked as Runwright extensions.

Names of fields in bodies match in any case, null counts as absent, unknown fields are ignored.
Errors are `{"error": "…"}`. Empty, zero and null fields are left out of responses.

The key is sent as `Authorization: Bearer KEY` or `X-Api-Key` and names the tenant. Reads need any role,
writes `tenant-system-admin` or above."""


def document_routes(described: Sequence[Route]) -> Routes:
    """Return the route of the OpenAPI document of these routes."""
    return document_route(AGH, "/api/automation", partial(describe_api, described, __version__))


def describe_api(routes: Iterable[Route], version: str) -> Json:
    """Return the OpenAPI document of these routes."""
    style = DocumentStyle(
        title="Runwright: AGH Automation API",
        introduction=_INTRODUCTION,
        tags=TAGS,
        path_parameters=dict.fromkeys(_PATHS, _ID) | {"endpoint": _ENDPOINT},
        security_schemes={
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        parameters={},
        headers=_RATE_HEADERS,
        errors={status: _error_response(status, when) for status, when in WHEN.items()},
        types=(ErrorBody,),
        any_route=(400, 401, 403, 429, 500, 503),
        any_body=(408, 413),
    )
    return describe_routes(routes, version, style)


_RATE_HEADERS: Final[Json] = {
    "x-ratelimit-limit": number_header("The number of requests that the tenant may make at once."),
    "x-ratelimit-remaining": number_header("The number of them that are left."),
    "x-ratelimit-reset": number_header("When all of them are available again, in seconds since 1970."),
}
_RETRIED: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def _error_response(status: int, when: str) -> Json:
    retry_after = number_header("The number of seconds to wait before trying again.")
    return {
        "description": f"{status_phrase(status)}: {when}",
        **({"headers": {"retry-after": retry_after}} if status in _RETRIED else {}),
        "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name="ErrorBody")}}},
    }
