"""Signatures over what comes in: our own form, and those of GitHub, Stripe and Standard Webhooks.

Verification has two steps, because who sends must first be told what is missing and then be looked
up. `read_claim` takes from the headers what the sender claims: when and as what it was sent, and
the signatures. `verify` holds the claim against the secrets and the clock.

Invariants: comparisons take the same time wherever they differ; all secrets are always tried, so
that the answer's time does not tell which one was meant; a timestamp that is part of what was signed
must be fresh; a claim's `replay_keys` hold its signature whenever it verified, so that the same
message with another delivery id is known again.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from runwright.outbox.signing import standard_signature

WINDOW: Final = timedelta(minutes=5)
"""How far a signed timestamp may be from now, either way."""

UNDATED_CLAIM: Final = timedelta(hours=24)
"""How long a message without a signed timestamp is known again."""

MOST_SIGNATURES: Final = 8

TIMESTAMP_HEADER: Final = "x-agh-webhook-timestamp"
SIGNATURE_HEADER: Final = "x-agh-webhook-signature"
DELIVERY_HEADER: Final = "x-agh-webhook-delivery-id"

_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_SECONDS: Final = re.compile(r"-?[0-9]{1,12}")
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,]\d{1,30})?(Z|[+-]\d\d:\d\d)", re.ASCII
)


class Scheme(StrEnum):
    """Whose form of signature a trigger expects."""

    AGH = "agh"
    GITHUB = "github"
    STRIPE = "stripe"
    STANDARD = "standard"


class UnreadableClaimError(ValueError):
    """A header is missing or malformed; the message says which."""


class StaleTimestampError(ValueError):
    """The signed timestamp is too far from now."""


class BadSignatureError(ValueError):
    """No signature fits any secret."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender says; nothing of it is proven before `verify`."""

    scheme: Scheme
    timestamp: datetime | None
    """The signed time, to the second; None where the form has none."""
    delivery_id: str | None
    signatures: tuple[str, ...]
    """As the form writes them, without their prefix."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that was proven, and how to know it again."""

    timestamp: datetime | None
    delivery_id: str | None
    replay_keys: tuple[str, ...]
    """Neither may have been seen before: the signature that fits, and the delivery id if there is one."""
    fresh_until: datetime
    """Afterwards the same message would be refused as stale, so it need not be remembered."""


def read_claim(scheme: Scheme, headers: Mapping[str, str]) -> Claim:
    """Read the headers (names in lower case); UnreadableClaimError where one is missing or malformed."""
    return _READERS[scheme](headers)


def verify(claim: Claim, body: bytes, secrets: Sequence[str], now: datetime) -> Verified:
    """Prove a claim; StaleTimestampError or BadSignatureError where it does not hold."""
    if claim.timestamp is not None and abs(now - claim.timestamp) > WINDOW:
        raise StaleTimestampError
    expected = [_expected(claim, body, secret.strip()) for secret in secrets if secret.strip()]
    fits = [  # a list: no early end
        hmac.compare_digest(signature.encode(), wanted.encode())
        for signature in claim.signatures[:MOST_SIGNATURES]
        for wanted in expected
    ]
    if not any(fits):
        raise BadSignatureError
    return Verified(
        timestamp=claim.timestamp,
        delivery_id=claim.delivery_id,
        replay_keys=_replay_keys(claim, body),
        fresh_until=now + UNDATED_CLAIM if claim.timestamp is None else claim.timestamp + WINDOW,
    )


def sign(secret: str, timestamp: datetime, body: bytes) -> str:
    """Return the value of the signature header of our own form."""
    return "sha256=" + _dated(secret.strip(), _unix(timestamp), body)


def _replay_keys(claim: Claim, body: bytes) -> tuple[str, ...]:
    """Name the message by what was signed and not by how the signature is spelled."""
    when = "" if claim.timestamp is None else str(_unix(claim.timestamp))
    signed = [claim.delivery_id or ""] if claim.scheme is Scheme.STANDARD else []
    digest = hashlib.sha256("\0".join((claim.scheme, when, *signed, "")).encode() + body).hexdigest()
    message = "message:" + digest
    if claim.delivery_id is None:
        return (message,)
    return message, "delivery:" + hashlib.sha256(claim.delivery_id.encode()).hexdigest()


def _expected(claim: Claim, body: bytes, secret: str) -> str:
    if claim.timestamp is None:
        return hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    seconds = _unix(claim.timestamp)
    if claim.scheme is Scheme.STANDARD:
        return standard_signature(secret, claim.delivery_id or "", seconds, body).removeprefix("v1,")
    return _dated(secret, seconds, body)


def _dated(secret: str, seconds: int, body: bytes) -> str:
    return hmac.digest(secret.encode(), str(seconds).encode() + b"." + body, hashlib.sha256).hex()


def _read_agh(headers: Mapping[str, str]) -> Claim:
    timestamp = headers.get(TIMESTAMP_HEADER, "").strip()
    if not timestamp:
        raise UnreadableClaimError("webhook timestamp header is required")
    at = _parse_time(timestamp)
    signature = headers.get(SIGNATURE_HEADER, "").strip()
    if not signature:
        raise UnreadableClaimError("webhook signature header is required")
    return Claim(
        scheme=Scheme.AGH,
        timestamp=at,
        delivery_id=headers.get(DELIVERY_HEADER, "").strip() or None,
        signatures=_hex(signature),
    )


def _read_github(headers: Mapping[str, str]) -> Claim:
    signature = headers.get("x-hub-signature-256", "").strip()
    if not signature:
        raise UnreadableClaimError("X-Hub-Signature-256 header is required")
    return Claim(
        scheme=Scheme.GITHUB,
        timestamp=None,
        delivery_id=headers.get("x-github-delivery", "").strip() or None,
        signatures=_hex(signature),
    )


def _read_stripe(headers: Mapping[str, str]) -> Claim:
    header = headers.get("stripe-signature", "").strip()
    if not header:
        raise UnreadableClaimError("Stripe-Signature header is required")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1:
        raise UnreadableClaimError("Stripe-Signature must have one timestamp t=")
    signatures = [value.lower() for name, _, value in pairs if name == "v1" and _HEX.fullmatch(value)]
    return Claim(
        scheme=Scheme.STRIPE,
        timestamp=_parse_seconds(times[0]),
        delivery_id=None,
        signatures=tuple(signatures),
    )


def _read_standard(headers: Mapping[str, str]) -> Claim:
    message_id, timestamp, signature = (
        headers.get(f"webhook-{name}", "").strip() for name in ("id", "timestamp", "signature")
    )
    for name, value in (("id", message_id), ("timestamp", timestamp), ("signature", signature)):
        if not value:
            raise UnreadableClaimError(f"webhook-{name} header is required")
    versioned = [entry.partition(",") for entry in signature.split(" ")]
    return Claim(
        scheme=Scheme.STANDARD,
        timestamp=_parse_seconds(timestamp),
        delivery_id=message_id,
        signatures=tuple(value for version, _, value in versioned if version == "v1" and _is_base64(value)),
    )


_READERS: Final = {
    Scheme.AGH: _read_agh,
    Scheme.GITHUB: _read_github,
    Scheme.STRIPE: _read_stripe,
    Scheme.STANDARD: _read_standard,
}


def _hex(signature: str) -> tuple[str, ...]:
    """Return the one signature, or none that could ever fit."""
    digest = signature.removeprefix("sha256=")
    return (digest.lower(),) if digest != signature and _HEX.fullmatch(digest) else ()


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def _parse_time(text: str) -> datetime:
    """Read RFC 3339 (fractions of a second are dropped, as they are not signed) or Unix seconds."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return _parse_seconds(text)
    try:
        zone = "+00:00" if found[3] == "Z" else found[3]
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise _no_time(text) from None


def _parse_seconds(text: str) -> datetime:
    if not _SECONDS.fullmatch(text):
        raise _no_time(text)
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise _no_time(text) from None


def _no_time(text: str) -> UnreadableClaimError:
    return UnreadableClaimError(f'invalid webhook timestamp "{text[:64]}"')


def _unix(at: datetime) -> int:
    return int(at.timestamp())
