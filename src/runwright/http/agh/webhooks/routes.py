"""The routes of incoming webhooks. They take no API key: the signature is the credential.

The order of the checks is part of the API: the path (400), the headers (400), the size of the body (413),
the trigger (404), the timestamp (401), the secret (400), the signature (401), then the limits of the
tenant and replays (409).
"""

from collections import Counter
from typing import Any, Final

import msgspec
from litestar import Controller, Request, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from runwright.automations.errors import DefinitionError
from runwright.automations.model import SignatureScheme
from runwright.automations.webhook_ingress import WebhookPath, not_registered, parse_webhook_path, scheme_of
from runwright.automations.webhook_signatures import SignatureHeaderError, read_signature
from runwright.core.errors import UnavailableError
from runwright.core.template_context import Json
from runwright.http.agh.auth import check_origin, read_headers
from runwright.http.agh.errors import MEDIA_TYPE, MovedError
from runwright.http.agh.queries import WaitQuery
from runwright.http.agh.requests import read_query
from runwright.http.agh.runs.schemas import run_out
from runwright.http.agh.webhooks.schemas import DeliveryEnvelope, DeliveryResult
from runwright.http.body import read_any_body
from runwright.http.callers import admit_tenant
from runwright.http.nesting import nests_too_deeply
from runwright.http.operations import Operation
from runwright.http.services import EdgeSettings, services_of

BODY_LIMIT_BYTES: Final = 1024 * 1024
_TAG: Final = "Webhooks"
_CONTENT: Final[dict[str, Any]] = {"*/*": {"schema": {"description": "The signed content, in any format."}}}


async def guard_delivery(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse requests of foreign web pages, and all deliveries while automation is disabled."""
    scope = connection.scope
    if scope["path"].endswith("/"):
        raise MovedError
    check_origin(read_headers(scope), connection.app.state.edge)
    if not services_of(connection).automations.policy.enabled:
        raise UnavailableError("automation is disabled")


class WebhookRoutes(Controller):
    """Deliveries of other systems."""

    path = "/api/webhooks"
    guards = (guard_delivery,)

    @post(
        "/global/{endpoint:str}",
        status_code=200,
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Deliver one global automation webhook",
            tag=_TAG,
            query=WaitQuery,
            content=_CONTENT,
            errors=(404, 408, 409, 413),
        ).opt,
    )
    async def deliver_global_webhook(
        self, request: Request[Any, Any, Any], endpoint: FromPath[str]
    ) -> DeliveryEnvelope:
        """Responds when the delivery and its run are stored; `wait` waits for the end of the run."""
        return await _deliver(request, parse_webhook_path(endpoint.strip()))

    @post(
        "/workspaces/{workspace_id:str}/{endpoint:str}",
        status_code=200,
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Deliver one workspace-scoped automation webhook",
            tag=_TAG,
            query=WaitQuery,
            content=_CONTENT,
            errors=(404, 408, 409, 413),
        ).opt,
    )
    async def deliver_workspace_webhook(
        self, request: Request[Any, Any, Any], workspace_id: FromPath[str], endpoint: FromPath[str]
    ) -> DeliveryEnvelope:
        """Responds when the delivery and its run are stored; `wait` waits for the end of the run."""
        workspace = workspace_id.strip()
        if not workspace:
            raise DefinitionError("workspace_id is required")
        return await _deliver(request, parse_webhook_path(endpoint.strip(), workspace))


async def _deliver(request: Request[Any, Any, Any], path: WebhookPath) -> DeliveryEnvelope:
    services, edge = services_of(request), request.app.state.edge
    ingress = services.automations.ingress
    query = read_query(request, WaitQuery)
    webhook = await ingress.find(path)
    try:
        scheme = SignatureScheme.AGH if webhook is None else scheme_of(webhook.automation.trigger)
        signature = read_signature(scheme, _headers(request))
    except SignatureHeaderError as error:
        raise DefinitionError(str(error)) from None
    body = await _read_body(request, edge)
    if webhook is None:
        raise not_registered()
    verified = ingress.verify(webhook, signature, body)
    admit_tenant(request.scope, webhook.automation.tenant_id, services)
    run = await ingress.accept(webhook, verified, body, read_object(body))
    if run is None:
        return DeliveryEnvelope(DeliveryResult(matched=0))
    if query.wait:
        run = await services.automations.runs.wait(run.tenant_id, run.id, query.wait)
    return DeliveryEnvelope(DeliveryResult(matched=1, runs=[run_out(run)]))


def _headers(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Return the headers by name. Raises DefinitionError if one that matters is given twice."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1 and ("webhook" in name or "signature" in name):
            raise DefinitionError(f"the header {name[:100]} is given more than once")
    return dict(pairs)


async def _read_body(request: Request[Any, Any, Any], edge: EdgeSettings) -> bytes:
    headers = dict(request.scope["headers"])
    return await read_any_body(headers, request.receive, edge, limit_bytes=BODY_LIMIT_BYTES)


def read_object(body: bytes) -> dict[str, Json] | None:
    """Return the fields of a body that is a JSON object; None for any other body."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        msgspec.json.encode(fields)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None
    return None if nests_too_deeply(body) else fields
