"""The routes and schemas of incoming webhooks. They take no API key: the signature is the credential.

The order of the checks is part of the API: the path (400), the headers (400), the size of the body (413),
the trigger (404), the timestamp (401), the secret (400), the signature (401), then the limits of the
tenant and replays (409).
"""

from collections import Counter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from runwright.automations.errors import DefinitionError
from runwright.automations.model import SignatureScheme
from runwright.automations.webhook_ingress import WebhookPath, not_registered, parse_webhook_path, scheme_of
from runwright.automations.webhook_signatures import SignatureHeaderError, read_signature
from runwright.http.agh.auth import check_delivery
from runwright.http.agh.errors import AGH
from runwright.http.agh.requests import WaitQuery, read_query
from runwright.http.agh.runs.schemas import RunOut, run_out
from runwright.http.principal import admit_tenant
from runwright.http.request import Request
from runwright.http.routing import Routes


class DeliveryResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a webhook delivery."""

    matched: Annotated[int, Meta(description="The number of matching triggers: 0 or 1.")]
    runs: list[RunOut] = []


class DeliveryEnvelope(msgspec.Struct, frozen=True):
    """The result of a webhook delivery."""

    result: DeliveryResult


BODY_LIMIT_BYTES: Final = 1024 * 1024
ROUTES: Final = Routes(AGH, "/api/webhooks", tag="Webhooks")
_OPTIONS: Final[dict[str, Any]] = {
    "status": 200,
    "precondition": check_delivery,
    "query": WaitQuery,
    "content": {"*/*": {"schema": {"description": "The signed content, in any format."}}},
    "errors": (404, 408, 409, 413),
}


@ROUTES.add("POST", "/global/{endpoint}", None, "Deliver one global automation webhook", **_OPTIONS)
async def deliver_global_webhook(request: Request) -> DeliveryEnvelope:
    """Responds when the delivery and its run are stored; `wait` waits for the end of the run."""
    return await _deliver(request, parse_webhook_path(request.params["endpoint"].strip()))


@ROUTES.add(
    "POST",
    "/workspaces/{workspace_id}/{endpoint}",
    None,
    "Deliver one workspace-scoped automation webhook",
    **_OPTIONS,
)
async def deliver_workspace_webhook(request: Request) -> DeliveryEnvelope:
    """Responds when the delivery and its run are stored; `wait` waits for the end of the run."""
    workspace = request.params["workspace_id"].strip()
    if not workspace:
        raise DefinitionError("workspace_id is required")
    return await _deliver(request, parse_webhook_path(request.params["endpoint"].strip(), workspace))


async def _deliver(request: Request, path: WebhookPath) -> DeliveryEnvelope:
    automations = request.services.automations
    query = read_query(request, WaitQuery)
    webhook = await automations.ingress.find(path)
    try:
        scheme = SignatureScheme.AGH if webhook is None else scheme_of(webhook.automation.trigger)
        signature = read_signature(scheme, _headers(request))
    except SignatureHeaderError as error:
        raise DefinitionError(str(error)) from None
    body = await request.read_any(BODY_LIMIT_BYTES)
    if webhook is None:
        raise not_registered()
    verified = automations.ingress.verify(webhook, signature, body)
    admit_tenant(request, webhook.automation.tenant_id)
    run = await automations.ingress.accept(webhook, verified, body)
    if run is None:
        return DeliveryEnvelope(DeliveryResult(matched=0))
    if query.wait:
        run = await request.while_connected(automations.runs.wait(run.tenant_id, run.id, query.wait))
    return DeliveryEnvelope(DeliveryResult(matched=1, runs=[run_out(run)]))


def _headers(request: Request) -> dict[str, str]:
    """Return the headers by name. Raises DefinitionError if one that matters is given twice."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1 and ("webhook" in name or "signature" in name):
            raise DefinitionError(f"the header {name[:100]} is given more than once")
    return dict(pairs)
