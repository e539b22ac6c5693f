"""Signatures over what is sent out: plain HMAC-SHA256, and the form of standardwebhooks.com."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


def new_signing_secret() -> str:
    """Return a fresh secret in the form that libraries of Standard Webhooks take."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def hex_signature(secret: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a body in lower-case hex; the secret is taken as its UTF-8 text."""
    return hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def standard_signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature `v1,…` of Standard Webhooks.

    Of a secret `whsec_…` the key is what follows, in base64; any other secret is its own UTF-8 text.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass  # somebody's own secret that happens to begin like that
    return secret.encode()
