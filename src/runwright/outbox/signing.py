"""Signatures of outgoing requests: HMAC-SHA256 in hex, and the scheme of standardwebhooks.com."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32
_SHORTEST_BARE_BYTES: Final = 16
"""Shorter texts without a prefix are no base64: many words would be."""


def new_signing_secret() -> str:
    """Return a random secret in the format of Standard Webhooks."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def hex_signature(secret: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a body in lower-case hex; the secret is taken as its UTF-8 text."""
    return hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def standard_signature(secret: str, message_id: str, timestamp: str | int, body: bytes) -> str:
    """Return the signature `v1,…` of Standard Webhooks; two of them where the secret has two readings."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join(f"v1,{standard_digest(key, signed)}" for key in standard_keys(secret))


def standard_digest(key: bytes, signed: bytes) -> str:
    """Return the HMAC-SHA256 of what is signed, in base64."""
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def standard_keys(secret: str) -> tuple[bytes, ...]:
    """Return the keys that a secret of Standard Webhooks may mean, the likeliest first.

    The official libraries decode `whsec_…` and bare base64, padded or not. A caller's own text may look like
    base64, so it is a key too.
    """
    text = secret.removeprefix(_PREFIX)
    key = _decoded(text)
    if key is None or (text == secret and len(key) < _SHORTEST_BARE_BYTES):
        return (secret.encode(),)
    padded = text != secret and len(text) % 4 == 0
    return (key,) if padded else (key, secret.encode())


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None
