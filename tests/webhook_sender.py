"""Somebody who sends webhooks: signs them by any of the forms, with the standard library alone."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping


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


def headers_of(scheme: str, secret: str, body: bytes, message_id: str) -> Mapping[str, str]:
    """Headers of whichever form, as sent now."""
    seconds = str(int(time.time()))
    if scheme == "github":
        return {"X-Hub-Signature-256": "sha256=" + hex_digest(secret, body), "X-GitHub-Delivery": message_id}
    if scheme == "stripe":
        return {"Stripe-Signature": f"t={seconds},v1={hex_digest(secret, f'{seconds}.'.encode() + body)}"}
    if scheme == "standard":
        signed = f"{message_id}.{seconds}.".encode() + body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": seconds,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }
    return agh_headers(secret, body, delivery_id=message_id)
