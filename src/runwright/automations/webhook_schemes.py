"""How senders sign and identify what they send, as data: a sender is an entry of `SCHEMES`.

`webhook_signatures.py` applies an entry. A trigger with the scheme `hmac` brings its own, `WebhookHmac`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta


class SignatureScheme(StrEnum):
    """How webhook deliveries are signed."""

    AGH = "agh"
    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    STRIPE = "stripe"
    SLACK = "slack"
    SHOPIFY = "shopify"
    TWILIO = "twilio"
    STANDARD = "standard"
    SVIX = "svix"
    META = "meta"
    HMAC = "hmac"


class SignatureEncoding(StrEnum):
    """How a signature is written; `token`: the header is the secret itself."""

    HEX = "hex"
    BASE64 = "base64"
    TOKEN = "token"  # noqa: S105  a name, not a secret


class SecretEncoding(StrEnum):
    """How the key is written in the secret."""

    TEXT = "text"
    BASE64 = "base64"
    HEX = "hex"


class HashName(StrEnum):
    """The hash of an HMAC."""

    SHA256 = "sha256"
    SHA1 = "sha1"
    SHA512 = "sha512"


PLACEHOLDERS: Final = ("body", "timestamp", "id", "url", "form", "method")
"""What the text that is signed may be made of."""


class WebhookHmac(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a sender signs that has no scheme of its own."""

    signature_header: Annotated[str, Meta(description="The header with the signature.")]
    prefix: Annotated[str, Meta(description="What the signature begins with, such as `sha256=`.")] = ""
    encoding: Annotated[
        str,
        Meta(
            description="`hex`, `base64`, or `token`: the header is the secret.",
            extra_json_schema={"enum": list(SignatureEncoding)},
        ),
    ] = SignatureEncoding.HEX.value
    algorithm: Annotated[str, Meta(extra_json_schema={"enum": list(HashName)})] = HashName.SHA256.value
    signed: Annotated[
        str,
        Meta(
            description="The text that is signed, of {body}, {timestamp}, {id}, {url}, {form} and {method}."
        ),
    ] = "{body}"
    signature_key: Annotated[
        str, Meta(description="Where the header is a list such as `t=1,v1=abc`: the name of the signature.")
    ] = ""
    timestamp_key: Annotated[str, Meta(description="There: the name of the timestamp.")] = ""
    timestamp_header: Annotated[
        str, Meta(description="The header with the time of sending; it may be five minutes off.")
    ] = ""
    id_header: Annotated[
        str, Meta(description="The header with the id of the delivery, the same when it is repeated.")
    ] = ""
    id_field: Annotated[str, Meta(description="Else the field of the body with it: `event.id`.")] = ""
    secret_encoding: Annotated[
        str,
        Meta(description="How the key is written.", extra_json_schema={"enum": list(SecretEncoding)}),
    ] = SecretEncoding.TEXT.value
    headers: Annotated[
        tuple[str, ...], Meta(description="Further headers that filters and prompts see.")
    ] = ()


class WebhookScheme(msgspec.Struct, frozen=True, kw_only=True):
    """How a sender signs and identifies its deliveries. Names of headers are in lower case."""

    signature: tuple[str, ...]
    """The headers that may have the signature; the first that is given counts."""
    prefix: str = ""
    encoding: SignatureEncoding = SignatureEncoding.HEX
    algorithm: HashName = HashName.SHA256
    signed: str = "{body}"
    pairs: tuple[str, str] | None = None
    """Where the header is a list of `name=value`: the names of timestamp and signature."""
    versions: str = ""
    """Where the header is a list of `version,signature`, separated by spaces: the version that counts."""
    timestamp: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """The headers that may have the id of the delivery; the first that is given counts."""
    event_ids: tuple[str, ...] = ()
    """The headers with an id that several deliveries may share: it counts together with the body."""
    needs_id: bool = False
    id_fields: tuple[str, ...] = ()
    """The fields of the body that may have it, where no header does."""
    secret_encoding: SecretEncoding = SecretEncoding.TEXT
    standard_secret: bool = False
    """The secret is one of Standard Webhooks."""
    headers: tuple[str, ...] = ()
    """The headers that filters and prompts see, beside those that every scheme shows."""
    dated_bodies: bool = False
    """Every body names its time or its message, so equal ones are one delivery for days."""
    challenge: tuple[str, str, str] | None = None
    """A body that asks to be echoed: the field that says so, its value, and the field to echo."""
    echoes_queries: bool = False
    """A GET with `hub.challenge` is answered with it."""
    reads_strictly: bool = True
    """Bodies that cannot be read as their content type says are refused."""


_STANDARD: Final = WebhookScheme(
    signature=("webhook-signature", "svix-signature"),
    encoding=SignatureEncoding.BASE64,
    versions="v1",
    timestamp=("webhook-timestamp", "svix-timestamp"),
    ids=("webhook-id", "svix-id"),
    needs_id=True,
    signed="{id}.{timestamp}.{body}",
    standard_secret=True,
    headers=("webhook-id", "svix-id"),
)

SCHEMES: Final[Mapping[SignatureScheme, WebhookScheme]] = {
    SignatureScheme.AGH: WebhookScheme(
        signature=("x-agh-webhook-signature",),
        prefix="sha256=",
        timestamp=("x-agh-webhook-timestamp",),
        ids=("x-agh-webhook-delivery-id",),
        signed="{timestamp}.{body}",
        reads_strictly=False,
    ),
    SignatureScheme.GITHUB: WebhookScheme(
        signature=("x-hub-signature-256",),
        prefix="sha256=",
        ids=("x-github-delivery",),
        headers=("x-github-delivery", "x-github-hook-id", "x-github-hook-installation-target-type"),
    ),
    SignatureScheme.GITLAB: WebhookScheme(
        signature=("x-gitlab-token",),
        encoding=SignatureEncoding.TOKEN,
        ids=("idempotency-key",),
        event_ids=("x-gitlab-event-uuid",),
        headers=("x-gitlab-instance", "x-gitlab-event-uuid", "x-gitlab-webhook-uuid"),
    ),
    SignatureScheme.BITBUCKET: WebhookScheme(
        signature=("x-hub-signature",),
        prefix="sha256=",
        ids=("x-request-uuid", "x-request-id"),
        headers=("x-request-uuid", "x-request-id", "x-hook-uuid"),
    ),
    SignatureScheme.STRIPE: WebhookScheme(
        signature=("stripe-signature",),
        pairs=("t", "v1"),
        signed="{timestamp}.{body}",
        id_fields=("id",),
    ),
    SignatureScheme.SLACK: WebhookScheme(
        signature=("x-slack-signature",),
        prefix="v0=",
        timestamp=("x-slack-request-timestamp",),
        signed="v0:{timestamp}:{body}",
        id_fields=("event_id", "trigger_id"),
        challenge=("type", "url_verification", "challenge"),
    ),
    SignatureScheme.SHOPIFY: WebhookScheme(
        signature=("x-shopify-hmac-sha256",),
        encoding=SignatureEncoding.BASE64,
        ids=("x-shopify-webhook-id", "x-shopify-event-id"),
        headers=("x-shopify-webhook-id", "x-shopify-shop-domain", "x-shopify-triggered-at"),
    ),
    SignatureScheme.TWILIO: WebhookScheme(
        signature=("x-twilio-signature",),
        encoding=SignatureEncoding.BASE64,
        algorithm=HashName.SHA1,
        signed="{url}{form}",
        ids=("i-twilio-idempotency-token",),
        headers=("i-twilio-idempotency-token",),
    ),
    SignatureScheme.STANDARD: _STANDARD,
    SignatureScheme.SVIX: _STANDARD,
    SignatureScheme.META: WebhookScheme(
        signature=("x-hub-signature-256",), prefix="sha256=", dated_bodies=True, echoes_queries=True
    ),
}


def scheme_of(name: str, custom: WebhookHmac | None) -> WebhookScheme:
    """Return the scheme of a trigger; `custom` describes that of the name `hmac`."""
    if name != SignatureScheme.HMAC or custom is None:
        return SCHEMES[SignatureScheme(name)]
    keyed = bool(custom.signature_key)
    return WebhookScheme(
        signature=_names(custom.signature_header),
        prefix=custom.prefix,
        encoding=SignatureEncoding(custom.encoding),
        algorithm=HashName(custom.algorithm),
        signed=custom.signed,
        pairs=(custom.timestamp_key, custom.signature_key) if keyed else None,
        timestamp=_names(custom.timestamp_header),
        ids=_names(custom.id_header),
        id_fields=(custom.id_field,) if custom.id_field else (),
        secret_encoding=SecretEncoding(custom.secret_encoding),
        headers=tuple(map(str.lower, custom.headers)),
    )


def _names(header: str) -> tuple[str, ...]:
    return (header.strip().lower(),) if header.strip() else ()
