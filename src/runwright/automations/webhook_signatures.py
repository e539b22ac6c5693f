"""Verify signatures of incoming webhooks, of whichever sender `webhook_schemes.py` describes.

Verification has two steps, because malformed headers are reported before the trigger is looked up.
`read_signature` parses the headers: timestamp, delivery id and signatures. `verify` checks them against the
secrets and the clock.

Invariants: comparisons take constant time; all secrets are always tried, so the response time does not reveal
which one matched; a signed timestamp must be fresh.

Identity of a delivery: the sender's own id decides, for `ID_KEPT`, whatever it is signed with; an id that
several deliveries may share decides together with the body; without one, what was signed, as long as it is
fresh, or for `UNDATED_REPLAY_WINDOW` where no time is signed. AGH's scheme compares both, because its id is
not signed, and only as long as the timestamp is fresh.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from runwright.automations.webhook_schemes import (
    SCHEMES,
    SecretEncoding,
    SignatureEncoding,
    SignatureScheme,
    WebhookScheme,
)
from runwright.core.webhook_body import is_form
from runwright.outbox.signing import standard_keys

WINDOW: Final = timedelta(minutes=5)
"""The maximum distance of a signed timestamp from now, in both directions."""

UNDATED_REPLAY_WINDOW: Final = timedelta(minutes=5)
"""How long a delivery is known by its body, without an id and a signed timestamp."""

ID_KEPT: Final = timedelta(days=7)
"""How long a delivery is known by its sender's id: longer than senders repeat one."""

MOST_SIGNATURES: Final = 8

_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_SECONDS: Final = re.compile(r"-?[0-9]{1,12}")
_MILLISECONDS: Final = re.compile(r"[0-9]{13}")
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,]\d{1,30})?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_PART: Final = re.compile(r"\{(\w+)\}")
_PAIR_END: Final = re.compile("[,;]")


class SignatureHeaderError(ValueError):
    """A header is missing or malformed; the message says which."""


class StaleTimestampError(ValueError):
    """The signed timestamp is too far from now."""


class BadSignatureError(ValueError):
    """No signature matches a secret."""


class SignatureHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The parsed headers of a webhook; nothing is verified before `verify`."""

    scheme: WebhookScheme
    timestamp: datetime | None
    """The signed time, to the second; None if the scheme has none."""
    timestamp_text: str
    """As it was signed."""
    delivery_id: str | None
    event_id: str | None = None
    """What several deliveries may share."""
    signatures: tuple[str, ...]
    """Without their prefix; hexadecimal digits in lower case."""


class _SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a signature may cover."""

    body: bytes
    urls: tuple[str, ...] = ()
    """How the sender may have written the URL."""
    content_type: str = ""


class VerifiedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with a valid signature, and its replay keys."""

    timestamp: datetime | None
    delivery_id: str | None
    replay_keys: tuple[str, ...]
    """A known one means a replay."""
    fresh_until: datetime
    """Later the replay keys need not be kept."""


def read_signature(scheme: WebhookScheme | SignatureScheme, headers: Mapping[str, str]) -> SignatureHeaders:
    """Parse the headers (names in lower case). Raises SignatureHeaderError if one is missing or malformed."""
    if isinstance(scheme, SignatureScheme):
        scheme = SCHEMES[scheme]
    delivery_id = _first(headers, scheme.ids)
    if scheme.needs_id and delivery_id is None:
        raise _missing(scheme.ids[0])
    time_text = _first(headers, scheme.timestamp)
    if scheme.timestamp and time_text is None:
        raise _missing(scheme.timestamp[0])
    at = None if time_text is None else _parse_time(scheme, time_text)
    value = _first(headers, scheme.signature)
    if value is None:
        raise _missing(scheme.signature[0])
    values = [value]
    if scheme.pairs is not None:
        pairs = [part.strip().partition("=") for part in _PAIR_END.split(value)]
        values = [text for name, _, text in pairs if name == scheme.pairs[1]]
        if scheme.pairs[0]:
            time_text = _only(scheme, [text for name, _, text in pairs if name == scheme.pairs[0]])
            at = _parse_time(scheme, time_text)
    elif scheme.versions:
        entries = [entry.partition(",") for entry in value.split(" ")]
        values = [text for version, _, text in entries if version == scheme.versions]
    return SignatureHeaders(
        scheme=scheme,
        timestamp=at,
        timestamp_text=_signed_time(scheme, time_text, at),
        delivery_id=delivery_id,
        event_id=_first(headers, scheme.event_ids),
        signatures=tuple(one for text in values for one in _signature(scheme, text)),
    )


def verify(
    given: SignatureHeaders,
    body: bytes,
    secrets: Sequence[str],
    now: datetime,
    *,
    urls: Sequence[str] = (),
    content_type: str = "",
) -> VerifiedWebhook:
    """Verify the signature of a webhook. Raises StaleTimestampError, BadSignatureError.

    `urls` are the ways in which the sender may have written the URL.
    """
    request = _SignedRequest(body=body, urls=tuple(urls), content_type=content_type)
    if given.timestamp is not None and abs(now - given.timestamp) > WINDOW:
        raise StaleTimestampError
    expected = [
        one
        for secret in secrets
        if secret.strip()
        for text in _signed_texts(given, request)
        for one in _signatures_by(given.scheme, secret.strip(), text)
    ]
    matches = [  # a list: all comparisons are made
        hmac.compare_digest(signature.encode(), one.encode())
        for signature in given.signatures[:MOST_SIGNATURES]
        for one in expected
    ]
    if not any(matches):
        raise BadSignatureError
    return _verified(given, request, now)


def identified(verified: VerifiedWebhook, delivery_id: str | None, now: datetime) -> VerifiedWebhook:
    """Return a webhook with the id that its body has, unless a header had one."""
    if verified.delivery_id is not None or delivery_id is None:
        return verified
    return msgspec.structs.replace(
        verified, delivery_id=delivery_id, replay_keys=(_id_key(delivery_id),), fresh_until=now + ID_KEPT
    )


def sign(secret: str, timestamp: datetime, body: bytes) -> str:
    """Return the value of the signature header of AGH's scheme."""
    scheme = SCHEMES[SignatureScheme.AGH]
    [digest] = _signatures_by(scheme, secret.strip(), f"{_unix(timestamp)}.".encode() + body)
    return scheme.prefix + digest


def _verified(given: SignatureHeaders, request: _SignedRequest, now: datetime) -> VerifiedWebhook:
    message = f"message:{_message_digest(given, request.body)}"
    own = given.scheme is SCHEMES[SignatureScheme.AGH]
    keys: tuple[str, ...] = (message,)
    if given.delivery_id is not None:
        keys = (message, _id_key(given.delivery_id)) if own else (_id_key(given.delivery_id),)
    return VerifiedWebhook(
        timestamp=given.timestamp,
        delivery_id=given.delivery_id,
        replay_keys=keys,
        fresh_until=_known_until(given, now),
    )


def _known_until(given: SignatureHeaders, now: datetime) -> datetime:
    """Return how long a delivery is known by its replay keys."""
    own = given.scheme is SCHEMES[SignatureScheme.AGH]
    identified = given.delivery_id is not None or given.event_id is not None
    if given.scheme.dated_bodies or (identified and not own):
        return now + ID_KEPT
    return now + UNDATED_REPLAY_WINDOW if given.timestamp is None else given.timestamp + WINDOW


def _id_key(delivery_id: str) -> str:
    return "delivery:" + hashlib.sha256(delivery_id.encode()).hexdigest()


def _message_digest(given: SignatureHeaders, body: bytes) -> str:
    """Return a digest of the signed content, independent of the spelling of the signature."""
    name = next((name for name, one in SCHEMES.items() if one is given.scheme), SignatureScheme.HMAC)
    event = "" if given.event_id is None else f"{given.event_id}\0"
    return hashlib.sha256(f"{name}\0{given.timestamp_text}\0{event}".encode() + body).hexdigest()


def _signed_texts(given: SignatureHeaders, request: _SignedRequest) -> list[bytes]:
    """Return the texts that may have been signed: one for each way to write the URL, where it is signed."""
    urls = request.urls if "{url}" in given.scheme.signed else ("",)
    form = _sorted_form(request) if "{form}" in given.scheme.signed else b""
    values = {
        "timestamp": given.timestamp_text.encode(),
        "id": (given.delivery_id or "").encode(),
        "form": form,
        "body": request.body,
        "method": b"POST",
    }
    parts = _PART.split(given.scheme.signed)
    return [
        b"".join(
            (values | {"url": url.encode()})[part] if number % 2 else part.encode()
            for number, part in enumerate(parts)
        )
        for url in urls
    ]


def _sorted_form(request: _SignedRequest) -> bytes:
    """Return the fields of a form, sorted, names and values joined, as Twilio signs them.

    Of another body, the URL has the hash, and the signature covers that.
    """
    if request.body and not is_form(request.content_type):
        digest = hashlib.sha256(request.body).hexdigest()
        if not any(f"bodySHA256={digest}" in url for url in request.urls):
            raise BadSignatureError
        return b""
    try:
        fields = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise BadSignatureError from None
    return "".join(name + value for name, value in sorted(set(fields))).encode()


def _signatures_by(scheme: WebhookScheme, secret: str, text: bytes) -> list[str]:
    """Return the signatures that a secret makes: more than one where it has several readings."""
    if scheme.encoding is SignatureEncoding.TOKEN:
        return [secret]
    digests = [hmac.digest(key, text, scheme.algorithm.value) for key in _keys(scheme, secret)]
    if scheme.encoding is SignatureEncoding.HEX:
        return [digest.hex() for digest in digests]
    return [base64.b64encode(digest).decode() for digest in digests]


def _keys(scheme: WebhookScheme, secret: str) -> Sequence[bytes]:
    if scheme.standard_secret:
        return standard_keys(secret)
    try:
        if scheme.secret_encoding is SecretEncoding.HEX:
            return [bytes.fromhex(secret)]
        if scheme.secret_encoding is SecretEncoding.BASE64:
            return [base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)]
    except (binascii.Error, ValueError):
        return []
    return [secret.encode()]


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the first of these headers that is given and not blank."""
    return next((text for name in names if (text := headers.get(name, "").strip())), None)


def _only(scheme: WebhookScheme, times: Sequence[str]) -> str:
    if len(times) != 1 or scheme.pairs is None:
        name = (scheme.pairs or ("", ""))[0]
        raise SignatureHeaderError(f"{header_title(scheme.signature[0])} must have one timestamp {name}=")
    return times[0]


def _signature(scheme: WebhookScheme, text: str) -> tuple[str, ...]:
    """Return the signature; nothing if it is malformed, which matches no secret."""
    digest = text.removeprefix(scheme.prefix)
    if scheme.prefix and digest == text:
        return ()
    if scheme.encoding is SignatureEncoding.HEX:
        return (digest.lower(),) if _HEX.fullmatch(digest) else ()
    if scheme.encoding is SignatureEncoding.TOKEN:
        return _readings(digest)
    return (digest,) if digest.isascii() else ()


def _readings(token: str) -> tuple[str, ...]:
    """Return a token as headers are read, in Latin-1, and as its sender may have written it, in UTF-8."""
    try:
        return token, token.encode("latin-1").decode()
    except UnicodeError:
        return (token,)


def _signed_time(scheme: WebhookScheme, text: str | None, at: datetime | None) -> str:
    """Return the timestamp as it is signed: AGH's as Unix seconds, however it is written."""
    if at is None or text is None:
        return ""
    return str(_unix(at)) if scheme is SCHEMES[SignatureScheme.AGH] else text


def _missing(header: str) -> SignatureHeaderError:
    own = header.startswith("x-agh-")
    name = header.removeprefix("x-agh-").replace("-", " ") if own else header_title(header)
    return SignatureHeaderError(f"{name} header is required")


def header_title(header: str) -> str:
    """Return a header as its senders write it."""
    if header.startswith(("webhook-", "svix-")):
        return header
    words = {"github": "GitHub", "agh": "AGH"}
    return "-".join(words.get(word, word.title()) for word in header.split("-"))


def _parse_time(scheme: WebhookScheme, text: str) -> datetime:
    """Return the instant of an RFC 3339 text (without its fraction) or of Unix seconds or milliseconds."""
    found = _RFC3339.fullmatch(text)
    try:
        if found is not None:
            zone = "+00:00" if found[3] == "Z" else found[3]
            return datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").astimezone(UTC)
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        if _MILLISECONDS.fullmatch(text) and scheme is not SCHEMES[SignatureScheme.AGH]:
            return datetime.fromtimestamp(int(text) // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise SignatureHeaderError(f'invalid webhook timestamp "{text[:64]}"')


def _unix(at: datetime) -> int:
    return int(at.timestamp())
