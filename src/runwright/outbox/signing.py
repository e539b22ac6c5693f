"""Signatures of outgoing requests: HMAC-SHA256 in hex, and the scheme of standardwebhooks.com."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


def new_signing_secret() -> str:
    """Return a random secret in the format of Standard Webhooks."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def hex_signature(secret: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a body in lower-case hex; the secret is taken as its UTF-8 text."""
    return hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def standard_signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature `v1,…` of Standard Webhooks.

    The key of a secret `whsec_…` is the rest of it, decoded from base64; that of any other secret is its
    UTF-8 text.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass  # a caller's own secret that happens to have this prefix
    return secret.encode()
