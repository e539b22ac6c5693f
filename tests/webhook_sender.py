"""Somebody who sends webhooks: signs them by any of the forms, with the standard library alone."""

import base64
import hashlib
import hmac
import time


def hex_digest(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def agh_headers(
    secret: str, body: bytes, *, at: float | None = None, delivery_id: str | None = None
) -> dict[str, str]:
    """Headers of AGH's own form, by default as sent now."""
    seconds = str(int(time.time() if at is None else at))
    headers = {
        "X-AGH-Webhook-Timestamp": seconds,
        "X-AGH-Webhook-Signature": "sha256=" + hex_digest(secret, f"{seconds}.".encode() + body),
    }
    return headers if delivery_id is None else headers | {"X-AGH-Webhook-Delivery-ID": delivery_id}


def headers_of(  # noqa: PLR0911  one per scheme
    scheme: str, secret: str, body: bytes, message_id: str, *, at: float | None = None, url: str = ""
) -> dict[str, str]:
    """Headers of whichever form, by default as sent now. Twilio's form has the fields of a form."""
    seconds = str(int(time.time() if at is None else at))
    stamped = f"{seconds}.".encode() + body
    if scheme in {"github", "meta"}:
        hub = {"X-Hub-Signature-256": "sha256=" + hex_digest(secret, body)}
        return hub | ({"X-GitHub-Delivery": message_id} if scheme == "github" else {})
    if scheme == "gitlab":
        return {"X-Gitlab-Token": secret, "Idempotency-Key": message_id}
    if scheme == "bitbucket":
        return {"X-Hub-Signature": "sha256=" + hex_digest(secret, body), "X-Request-UUID": message_id}
    if scheme == "stripe":
        return {"Stripe-Signature": f"t={seconds},v1={hex_digest(secret, stamped)},v0=ignored"}
    if scheme == "slack":
        digest = hex_digest(secret, f"v0:{seconds}:".encode() + body)
        return {"X-Slack-Request-Timestamp": seconds, "X-Slack-Signature": f"v0={digest}"}
    if scheme == "shopify":
        return {"X-Shopify-Hmac-SHA256": base64_digest(secret, body), "X-Shopify-Webhook-Id": message_id}
    if scheme == "twilio":
        signature = base64_digest(secret, url.encode(), "sha1")
        return {"X-Twilio-Signature": signature, "I-Twilio-Idempotency-Token": message_id}
    if scheme in {"standard", "svix"}:
        name = {"standard": "webhook", "svix": "svix"}[scheme]
        signature = base64_digest(secret, f"{message_id}.".encode() + stamped)
        return {
            f"{name}-id": message_id,
            f"{name}-timestamp": seconds,
            f"{name}-signature": f"v1a,xyz v1,{signature}",
        }
    if scheme == "hmac":
        return {"X-Signature": base64_digest(secret, stamped), "X-Time": seconds, "X-Id": message_id}
    return agh_headers(secret, body, at=float(seconds), delivery_id=message_id)


OWN_HMAC = {
    "signature_header": "X-Signature",
    "encoding": "base64",
    "signed": "{timestamp}.{body}",
    "timestamp_header": "X-Time",
    "id_header": "X-Id",
}
"""The description of what `headers_of` makes for `hmac`."""


def base64_digest(secret: str, text: bytes, name: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, name).digest()).decode()
