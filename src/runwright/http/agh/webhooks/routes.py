"""The routes of incoming webhooks. They take no API key: the signature is the credential.

The order of the checks is part of the API: the path (400), the headers (400), the size of the body (413),
the trigger (404), the timestamp (401), the secret (400), the signature (401), then the limits of the
tenant and replays (409).
"""

import hmac
import re
from collections import Counter
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.responses import PlainTextResponse, Response

from runwright.automations.errors import DefinitionError
from runwright.automations.webhook_ingress import (
    BODY_LIMIT_BYTES,
    Challenge,
    WebhookPath,
    not_registered,
    parse_webhook_path,
    scheme_of,
)
from runwright.automations.webhook_schemes import SCHEMES, SignatureScheme, WebhookScheme
from runwright.automations.webhook_signatures import SignatureHeaderError, header_title, read_signature
from runwright.core.errors import ForbiddenError
from runwright.http.agh.auth import check_delivery
from runwright.http.agh.errors import AGH
from runwright.http.agh.requests import WaitQuery, read_query
from runwright.http.agh.runs.schemas import run_out
from runwright.http.agh.webhooks.schemas import ChallengeQuery, DeliveryEnvelope, DeliveryResult
from runwright.http.principal import admit_tenant
from runwright.http.request import Request
from runwright.http.response import JsonResponse
from runwright.http.routing import Routes


def _other_signatures() -> dict[str, list[str]]:
    """Return the headers with the signatures of the other senders, each with the schemes that use it."""
    found: dict[str, list[str]] = {}
    for name, scheme in SCHEMES.items():
        for header in scheme.signature if name is not SignatureScheme.AGH else ():
            found.setdefault(header_title(header), []).append(f"`{name}`")
    return found


ROUTES: Final = Routes(AGH, "/api/webhooks", tag="Webhooks")
_MOST_PARAMETERS: Final = 20
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._~-]{1,256}")
_SIGNED_HEADERS: Final = {
    "X-AGH-Webhook-Timestamp": "Scheme `agh`: the time of sending, RFC 3339 or Unix seconds, at most five"
    " minutes off.",
    "X-AGH-Webhook-Signature": "Scheme `agh`: `sha256=` and the HMAC-SHA256 of `<Unix seconds>.<body>`.",
    "X-AGH-Webhook-Delivery-ID": "Scheme `agh`: the id of the delivery, the same when it is repeated.",
    **{
        name: f"Scheme{'s' if len(schemes) > 1 else ''} {', '.join(schemes)}: the signature."
        for name, schemes in _other_signatures().items()
    },
}
_OPTIONS: Final[dict[str, Any]] = {
    "status": 200,
    "precondition": check_delivery,
    "query": WaitQuery,
    "content": {
        "application/json": {"schema": {"type": "object"}, "example": {"ref": "refs/heads/main"}},
        "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
        "application/octet-stream": {
            "schema": {"type": "string", "format": "binary", "description": "Any other signed content."}
        },
    },
    "headers": tuple(
        {"name": name, "required": False, "description": description, "schema": {"type": "string"}}
        for name, description in _SIGNED_HEADERS.items()
    ),
    "errors": (404, 408, 409, 413),
}


@ROUTES.add("POST", "/global/{endpoint}", None, "Deliver one global automation webhook", **_OPTIONS)
async def deliver_global_webhook(request: Request) -> DeliveryEnvelope | Response:
    """Responds when the delivery and its run are stored; `wait` waits for the end of the run."""
    return await _deliver(request, parse_webhook_path(request.params["endpoint"].strip()))


@ROUTES.add(
    "POST",
    "/workspaces/{workspace_id}/{endpoint}",
    None,
    "Deliver one workspace-scoped automation webhook",
    **_OPTIONS,
)
async def deliver_workspace_webhook(request: Request) -> DeliveryEnvelope | Response:
    """Responds when the delivery and its run are stored; `wait` waits for the end of the run."""
    workspace = request.params["workspace_id"].strip()
    if not workspace:
        raise DefinitionError("workspace_id is required")
    return await _deliver(request, parse_webhook_path(request.params["endpoint"].strip(), workspace))


_VERIFICATION: Final[dict[str, Any]] = {
    "precondition": check_delivery,
    "query": ChallengeQuery,
    "produces": "text/plain",
    "errors": (404,),
}


@ROUTES.add("GET", "/global/{endpoint}", None, "Verify the URL of one global webhook", **_VERIFICATION)
async def verify_global_webhook(request: Request) -> Response:
    """Answer the challenge of a sender that verifies the URL before it sends, as Meta does."""
    return await _echo(request, parse_webhook_path(request.params["endpoint"].strip()))


@ROUTES.add(
    "GET",
    "/workspaces/{workspace_id}/{endpoint}",
    None,
    "Verify the URL of one workspace-scoped webhook",
    **_VERIFICATION,
)
async def verify_workspace_webhook(request: Request) -> Response:
    """Answer the challenge of a sender that verifies the URL before it sends, as Meta does."""
    path = parse_webhook_path(request.params["endpoint"].strip(), request.params["workspace_id"].strip())
    return await _echo(request, path)


async def _echo(request: Request, path: WebhookPath) -> Response:
    """Return `hub.challenge`, if `hub.verify_token` is the webhook's id or one of its secrets."""
    ingress = request.services.automations.ingress
    webhook = await ingress.find(path)
    if webhook is None or not scheme_of(webhook.automation.trigger).echoes_queries:
        raise not_registered()
    try:
        given = dict(parse_qsl(request.query_string.decode("ascii"), max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise DefinitionError("the query is malformed") from None
    challenge, token = given.get("hub.challenge", ""), given.get("hub.verify_token", "").encode()
    if given.get("hub.mode") != "subscribe" or not _CHALLENGE.fullmatch(challenge):
        raise DefinitionError("hub.mode must be subscribe, and hub.challenge up to 256 letters and digits")
    tokens = [webhook.automation.trigger.webhook_id, *ingress.secrets_of(webhook)]
    if True not in [hmac.compare_digest(token, one.strip().encode()) for one in tokens]:
        raise ForbiddenError("automation: hub.verify_token must be the webhook's id")
    return PlainTextResponse(challenge)


async def _deliver(request: Request, path: WebhookPath) -> DeliveryEnvelope | Response:
    automations = request.services.automations
    query = read_query(request, WaitQuery)
    webhook = await automations.ingress.find(path)
    try:
        scheme = SCHEMES[SignatureScheme.AGH] if webhook is None else scheme_of(webhook.automation.trigger)
        headers = _headers(request, scheme)
        signature = read_signature(scheme, headers)
    except SignatureHeaderError as error:
        raise DefinitionError(str(error)) from None
    body = await request.read_any(BODY_LIMIT_BYTES)
    if webhook is None:
        raise not_registered()
    verified = automations.ingress.verify(
        webhook, signature, body, urls=_urls(request), content_type=headers.get("content-type", "")
    )
    admit_tenant(request, webhook.automation.tenant_id)
    run = await automations.ingress.accept(webhook, verified, body, headers)
    if isinstance(run, Challenge):
        return JsonResponse({"challenge": run.text}, 200)
    if run is None:
        return DeliveryEnvelope(DeliveryResult(matched=0))
    if query.wait:
        run = await request.while_connected(automations.runs.wait(run.tenant_id, run.id, query.wait))
    return DeliveryEnvelope(DeliveryResult(matched=1, runs=[run_out(run)]))


def _headers(request: Request, scheme: WebhookScheme) -> dict[str, str]:
    """Return the headers by name. Raises DefinitionError if one that matters is given twice."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    used = {*scheme.signature, *scheme.timestamp, *scheme.ids, "content-type", "content-encoding"}
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1 and (name in used or "webhook" in name or "signature" in name):
            raise DefinitionError(f"the header {name[:100]} is given more than once")
    return dict(pairs)


def _urls(request: Request) -> list[str]:
    """Return how the sender may have written the URL: a proxy hides the scheme and the port."""
    scope, settings = request.scope, request.edge.settings
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    target = path + (f"?{request.query_string.decode('latin-1')}" if request.query_string else "")
    host = request.headers.get(b"host", b"").decode("latin-1")
    bases = [settings.public_url.rstrip("/")] if settings.public_url else []
    for scheme, port in (("https", 443), ("http", 80)):
        bases += [f"{scheme}://{host}", f"{scheme}://{host.rpartition(':')[0] or host}"]
        bases += [f"{scheme}://{host}:{port}"] if ":" not in host else []
    return [base + target for base in dict.fromkeys(bases)]
