"""Signatures of incoming webhooks: AGH's scheme, and those of GitHub, Stripe and Standard Webhooks.

Verification has two steps, because malformed headers are reported before the trigger is looked up.
`read_signature` parses the headers: timestamp, delivery id and signatures. `verify` checks them against the
secrets and the clock.

Invariants: comparisons take constant time; all secrets are always tried, so the response time does not reveal
which one matched; a signed timestamp must be fresh; the `replay_keys` of a verified webhook include its
signed content, so the same message with another delivery id is recognized.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from runwright.automations.model import SignatureScheme
from runwright.outbox.signing import standard_signature

WINDOW: Final = timedelta(minutes=5)
"""The maximum distance of a signed timestamp from now, in both directions."""

UNDATED_REPLAY_WINDOW: Final = timedelta(hours=24)
"""How long the replay key of a message without a signed timestamp is kept."""

MOST_SIGNATURES: Final = 8

TIMESTAMP_HEADER: Final = "x-agh-webhook-timestamp"
SIGNATURE_HEADER: Final = "x-agh-webhook-signature"
DELIVERY_HEADER: Final = "x-agh-webhook-delivery-id"

_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_SECONDS: Final = re.compile(r"-?[0-9]{1,12}")
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,]\d{1,30})?(Z|[+-]\d\d:\d\d)", re.ASCII
)


class SignatureHeaderError(ValueError):
    """A header is missing or malformed; the message says which."""


class StaleTimestampError(ValueError):
    """The signed timestamp is too far from now."""


class BadSignatureError(ValueError):
    """No signature matches a secret."""


class SignatureHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The parsed headers of a webhook; nothing is verified before `verify`."""

    scheme: SignatureScheme
    timestamp: datetime | None
    """The signed time, to the second; None if the scheme has none."""
    delivery_id: str | None
    signatures: tuple[str, ...]
    """In the notation of the scheme, without their prefix."""


class VerifiedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with a valid signature, and its replay keys."""

    timestamp: datetime | None
    delivery_id: str | None
    replay_keys: tuple[str, ...]
    """Keys of the signed content and of the delivery id, if there is one; a known key means a replay."""
    fresh_until: datetime
    """Later the same message would be refused as stale, so the replay keys need not be kept."""


def read_signature(scheme: SignatureScheme, headers: Mapping[str, str]) -> SignatureHeaders:
    """Parse the headers (names in lower case). Raises SignatureHeaderError if one is missing or malformed."""
    return _READERS[scheme](headers)


def verify(given: SignatureHeaders, body: bytes, secrets: Sequence[str], now: datetime) -> VerifiedWebhook:
    """Verify the signature of a webhook. Raises StaleTimestampError, BadSignatureError."""
    if given.timestamp is not None and abs(now - given.timestamp) > WINDOW:
        raise StaleTimestampError
    expected = [_expected(given, body, secret.strip()) for secret in secrets if secret.strip()]
    matches = [  # a list: all comparisons are made
        hmac.compare_digest(signature.encode(), one.encode())
        for signature in given.signatures[:MOST_SIGNATURES]
        for one in expected
    ]
    if not any(matches):
        raise BadSignatureError
    return VerifiedWebhook(
        timestamp=given.timestamp,
        delivery_id=given.delivery_id,
        replay_keys=_replay_keys(given, body),
        fresh_until=now + UNDATED_REPLAY_WINDOW if given.timestamp is None else given.timestamp + WINDOW,
    )


def sign(secret: str, timestamp: datetime, body: bytes) -> str:
    """Return the value of the signature header of AGH's scheme."""
    return "sha256=" + _dated(secret.strip(), _unix(timestamp), body)


def _replay_keys(given: SignatureHeaders, body: bytes) -> tuple[str, ...]:
    """Return keys of the signed content, independent of the spelling of the signature."""
    when = "" if given.timestamp is None else str(_unix(given.timestamp))
    signed = [given.delivery_id or ""] if given.scheme is SignatureScheme.STANDARD else []
    digest = hashlib.sha256("\0".join((given.scheme, when, *signed, "")).encode() + body).hexdigest()
    message = "message:" + digest
    if given.delivery_id is None:
        return (message,)
    return message, "delivery:" + hashlib.sha256(given.delivery_id.encode()).hexdigest()


def _expected(given: SignatureHeaders, body: bytes, secret: str) -> str:
    if given.timestamp is None:
        return hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    seconds = _unix(given.timestamp)
    if given.scheme is SignatureScheme.STANDARD:
        return standard_signature(secret, given.delivery_id or "", seconds, body).removeprefix("v1,")
    return _dated(secret, seconds, body)


def _dated(secret: str, seconds: int, body: bytes) -> str:
    return hmac.digest(secret.encode(), str(seconds).encode() + b"." + body, hashlib.sha256).hex()


def _read_agh(headers: Mapping[str, str]) -> SignatureHeaders:
    timestamp = headers.get(TIMESTAMP_HEADER, "").strip()
    if not timestamp:
        raise SignatureHeaderError("webhook timestamp header is required")
    at = _parse_time(timestamp)
    signature = headers.get(SIGNATURE_HEADER, "").strip()
    if not signature:
        raise SignatureHeaderError("webhook signature header is required")
    return SignatureHeaders(
        scheme=SignatureScheme.AGH,
        timestamp=at,
        delivery_id=headers.get(DELIVERY_HEADER, "").strip() or None,
        signatures=_hex(signature),
    )


def _read_github(headers: Mapping[str, str]) -> SignatureHeaders:
    signature = headers.get("x-hub-signature-256", "").strip()
    if not signature:
        raise SignatureHeaderError("X-Hub-Signature-256 header is required")
    return SignatureHeaders(
        scheme=SignatureScheme.GITHUB,
        timestamp=None,
        delivery_id=headers.get("x-github-delivery", "").strip() or None,
        signatures=_hex(signature),
    )


def _read_stripe(headers: Mapping[str, str]) -> SignatureHeaders:
    header = headers.get("stripe-signature", "").strip()
    if not header:
        raise SignatureHeaderError("Stripe-Signature header is required")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1:
        raise SignatureHeaderError("Stripe-Signature must have one timestamp t=")
    signatures = [value.lower() for name, _, value in pairs if name == "v1" and _HEX.fullmatch(value)]
    return SignatureHeaders(
        scheme=SignatureScheme.STRIPE,
        timestamp=_parse_seconds(times[0]),
        delivery_id=None,
        signatures=tuple(signatures),
    )


def _read_standard(headers: Mapping[str, str]) -> SignatureHeaders:
    message_id, timestamp, signature = (
        headers.get(f"webhook-{name}", "").strip() for name in ("id", "timestamp", "signature")
    )
    for name, value in (("id", message_id), ("timestamp", timestamp), ("signature", signature)):
        if not value:
            raise SignatureHeaderError(f"webhook-{name} header is required")
    versioned = [entry.partition(",") for entry in signature.split(" ")]
    return SignatureHeaders(
        scheme=SignatureScheme.STANDARD,
        timestamp=_parse_seconds(timestamp),
        delivery_id=message_id,
        signatures=tuple(value for version, _, value in versioned if version == "v1" and _is_base64(value)),
    )


_READERS: Final = {
    SignatureScheme.AGH: _read_agh,
    SignatureScheme.GITHUB: _read_github,
    SignatureScheme.STRIPE: _read_stripe,
    SignatureScheme.STANDARD: _read_standard,
}


def _hex(signature: str) -> tuple[str, ...]:
    """Return the signature; nothing if it is malformed, which matches no secret."""
    digest = signature.removeprefix("sha256=")
    return (digest.lower(),) if digest != signature and _HEX.fullmatch(digest) else ()


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def _parse_time(text: str) -> datetime:
    """Return the instant of an RFC 3339 text (without its fraction, which is not signed) or Unix seconds."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return _parse_seconds(text)
    try:
        zone = "+00:00" if found[3] == "Z" else found[3]
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise _bad_timestamp(text) from None


def _parse_seconds(text: str) -> datetime:
    if not _SECONDS.fullmatch(text):
        raise _bad_timestamp(text)
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise _bad_timestamp(text) from None


def _bad_timestamp(text: str) -> SignatureHeaderError:
    return SignatureHeaderError(f'invalid webhook timestamp "{text[:64]}"')


def _unix(at: datetime) -> int:
    return int(at.timestamp())
