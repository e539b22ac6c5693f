"""Signatures over what comes in: the vectors of each form, freshness, rotation, replay keys."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.automations.model import SignatureScheme
from runwright.automations.webhook_signatures import (
    BadSignatureError,
    SignatureHeaderError,
    StaleTimestampError,
    VerifiedWebhook,
    read_signature,
    sign,
    verify,
)
from runwright.outbox.signing import standard_signature

NOW = datetime(2026, 4, 11, 12, 0, tzinfo=UTC)
UNIX = 1_775_908_800
SECRET = "shared-secret"
BODY = b'{"payload":"deploy"}'
VECTOR = "sha256=56722eb6d0b2d0085497943e123e7fd36931450560844474d73ce41f1fabc012"

AGH = {"x-agh-webhook-timestamp": str(UNIX), "x-agh-webhook-signature": VECTOR}


def check(
    scheme: SignatureScheme,
    headers: dict[str, str],
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
    now: datetime = NOW,
) -> VerifiedWebhook:
    return verify(read_signature(scheme, headers), body, secrets, now)


def signed_by(scheme: SignatureScheme, secret: str, body: bytes, message_id: str = "msg_1") -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{UNIX}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        SignatureScheme.AGH: {
            "x-agh-webhook-timestamp": str(UNIX),
            "x-agh-webhook-signature": f"sha256={digest}",
        },
        SignatureScheme.GITHUB: {
            "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
            "x-github-delivery": message_id,
        },
        SignatureScheme.STRIPE: {"stripe-signature": f"t={UNIX},v1={digest},v0=ignored"},
        SignatureScheme.STANDARD: {
            "webhook-id": message_id,
            "webhook-timestamp": str(UNIX),
            "webhook-signature": "v1a,xyz " + standard_signature(secret, message_id, UNIX, body),
        },
    }[scheme]


def test_the_vector_of_the_contract() -> None:
    assert sign(SECRET, NOW, BODY) == VECTOR
    assert check(SignatureScheme.AGH, AGH).timestamp == NOW


def test_githubs_published_vector() -> None:
    """The secret, payload and signature of GitHub's documentation."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"x-hub-signature-256": signature}
    assert (
        check(SignatureScheme.GITHUB, headers, b"Hello, World!", ("It's a Secret to Everybody",)).timestamp
        is None
    )


def test_the_vector_of_standard_webhooks() -> None:
    """The secret, message and signature of its reference libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verified = check(
        SignatureScheme.STANDARD, headers, b'{"test": 2432232314}', ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
        datetime.fromtimestamp(1_614_265_330, UTC),
    )  # fmt: skip
    assert verified.delivery_id == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.parametrize(
    "timestamp",
    ["2026-04-11T12:00:00Z", "2026-04-11T12:00:00.999999999Z", "2026-04-11T14:00:00+02:00", f" {UNIX} "],
)
def test_the_signed_time_is_the_second_however_it_is_written(timestamp: str) -> None:
    assert check(SignatureScheme.AGH, AGH | {"x-agh-webhook-timestamp": timestamp}).timestamp == NOW


@pytest.mark.parametrize(
    ("scheme", "headers", "message"),
    [
        (SignatureScheme.AGH, {}, "webhook timestamp header is required"),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "  "}, "webhook timestamp header is required"),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "x"}, 'invalid webhook timestamp "x"'),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "1.5"}, 'invalid webhook timestamp "1.5"'),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "9" * 13}, "invalid webhook timestamp"),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "9" * 12}, "invalid webhook timestamp"),
        (
            SignatureScheme.AGH,
            {"x-agh-webhook-timestamp": "2026-04-11T12:00:00"},
            "invalid webhook timestamp",
        ),
        (
            SignatureScheme.AGH,
            {"x-agh-webhook-timestamp": "2026-04-31T12:00:00Z"},
            "invalid webhook timestamp",
        ),
        (
            SignatureScheme.AGH,
            {"x-agh-webhook-timestamp": "0001-01-01T00:00:00+23:59"},
            "invalid webhook timestamp",
        ),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "\u0661"}, "invalid webhook timestamp"),
        (SignatureScheme.AGH, {"x-agh-webhook-timestamp": "1"}, "webhook signature header is required"),
        (SignatureScheme.GITHUB, AGH, "X-Hub-Signature-256 header is required"),
        (SignatureScheme.STRIPE, AGH, "Stripe-Signature header is required"),
        (SignatureScheme.STRIPE, {"stripe-signature": "v1=00"}, "one timestamp"),
        (SignatureScheme.STRIPE, {"stripe-signature": "t=1,t=2,v1=00"}, "one timestamp"),
        (
            SignatureScheme.STANDARD,
            {"webhook-id": "x", "webhook-timestamp": "1"},
            "webhook-signature header is required",
        ),
        (
            SignatureScheme.STANDARD,
            {"webhook-timestamp": "1", "webhook-signature": "v1,x"},
            "webhook-id header is required",
        ),
    ],
)
def test_what_is_missing_or_malformed_is_said(
    scheme: SignatureScheme, headers: dict[str, str], message: str
) -> None:
    with pytest.raises(SignatureHeaderError, match=message):
        read_signature(scheme, headers)


@pytest.mark.parametrize(
    "signature",
    [VECTOR.removeprefix("sha256="), VECTOR.replace("sha256", "SHA256"), VECTOR[:-1], VECTOR + "0", VECTOR + ", " + VECTOR,
     "sha256=" + "0" * 64, "sha256=" + "\u0661" * 64, "sha1=" + VECTOR[7:], "x"],
)  # fmt: skip
def test_a_signature_that_does_not_fit_is_refused(signature: str) -> None:
    with pytest.raises(BadSignatureError):
        check(SignatureScheme.AGH, AGH | {"x-agh-webhook-signature": signature})


def test_the_digits_of_a_signature_may_be_upper_case() -> None:
    check(SignatureScheme.AGH, AGH | {"x-agh-webhook-signature": "sha256=" + VECTOR[7:].upper()})


@pytest.mark.parametrize("scheme", SignatureScheme)
def test_two_secrets_may_be_valid_at_once_and_each_is_tried(scheme: SignatureScheme) -> None:
    headers = signed_by(scheme, SECRET, BODY)
    for secrets in ((SECRET, "new"), ("new", SECRET), ("new", f" {SECRET}\n")):
        check(scheme, headers, secrets=secrets)
    for wrong in (("new",), (), ("",), (" ",)):
        with pytest.raises(BadSignatureError):
            check(scheme, headers, secrets=wrong)


@pytest.mark.parametrize("scheme", [SignatureScheme.AGH, SignatureScheme.STRIPE, SignatureScheme.STANDARD])
def test_a_signed_time_may_be_five_minutes_off_and_no_more(scheme: SignatureScheme) -> None:
    headers = signed_by(scheme, SECRET, BODY)
    for off in (300, -300):
        check(scheme, headers, now=NOW + timedelta(seconds=off))
    for beyond in (301, -301):
        with pytest.raises(StaleTimestampError):
            check(scheme, headers, now=NOW + timedelta(seconds=beyond))


def test_a_claim_is_remembered_as_long_as_its_time_can_be_fresh() -> None:
    early = check(SignatureScheme.AGH, AGH, now=NOW - timedelta(minutes=5))
    assert early.fresh_until == NOW + timedelta(minutes=5)
    assert check(
        SignatureScheme.GITHUB, signed_by(SignatureScheme.GITHUB, SECRET, BODY)
    ).fresh_until == NOW + timedelta(hours=24)


def test_the_same_message_is_known_again_whatever_id_it_comes_with() -> None:
    bare = check(SignatureScheme.AGH, AGH).replay_keys
    first = check(SignatureScheme.AGH, AGH | {"x-agh-webhook-delivery-id": "d1"}).replay_keys
    second = check(SignatureScheme.AGH, AGH | {"x-agh-webhook-delivery-id": "d2"}).replay_keys
    assert set(first) & set(second) == set(bare)
    assert len(first) == 2


@pytest.mark.parametrize("scheme", SignatureScheme)
def test_another_message_with_the_same_id_is_known_by_its_id(scheme: SignatureScheme) -> None:
    keys = [set(check(scheme, signed_by(scheme, SECRET, body), body).replay_keys) for body in (b"1", b"2")]
    assert bool(keys[0] & keys[1]) is (scheme in {SignatureScheme.GITHUB, SignatureScheme.STANDARD})


def test_the_spelling_of_a_signature_makes_no_new_message() -> None:
    lower, upper = (
        check(SignatureScheme.STRIPE, {"stripe-signature": f"t={UNIX},v1={digest}"})
        for digest in (VECTOR[7:], VECTOR[7:].upper())
    )
    assert lower.replay_keys == upper.replay_keys


def test_not_more_than_eight_signatures_are_tried() -> None:
    digest = VECTOR[7:]
    many = ",".join(f"v1={'0' * 64}" for _ in range(8))
    check(SignatureScheme.STRIPE, {"stripe-signature": f"t={UNIX},v1={digest},{many}"})
    with pytest.raises(BadSignatureError):
        check(SignatureScheme.STRIPE, {"stripe-signature": f"t={UNIX},{many},v1={digest}"})


@given(
    st.sampled_from(SignatureScheme), st.binary(max_size=64), st.text(min_size=1).filter(str.strip), st.data()
)
def test_what_was_signed_verifies_and_any_change_does_not(
    scheme: SignatureScheme, body: bytes, secret: str, data: st.DataObject
) -> None:
    headers = signed_by(scheme, secret.strip(), body)
    check(scheme, headers, body, (secret,))
    other = data.draw(st.binary(max_size=64).filter(lambda drawn: drawn != body))
    with pytest.raises(BadSignatureError):
        check(scheme, headers, other, (secret,))
    with pytest.raises(BadSignatureError):
        check(scheme, headers, body, (secret.strip() + "x",))


@given(st.sampled_from(SignatureScheme), st.dictionaries(st.sampled_from([
    "x-agh-webhook-timestamp", "x-agh-webhook-signature", "x-hub-signature-256", "stripe-signature", "webhook-id",
    "webhook-timestamp", "webhook-signature",
]), st.text() | st.sampled_from(["1775908800", "v1,aGk=", f"t={UNIX},v1=00", VECTOR])))  # fmt: skip
def test_hostile_headers_are_refused_and_nothing_else(
    scheme: SignatureScheme, headers: dict[str, str]
) -> None:
    with pytest.raises((SignatureHeaderError, StaleTimestampError, BadSignatureError)):
        check(scheme, headers, body=b"never signed")


def test_a_standard_secret_that_is_no_base64_is_taken_as_text() -> None:
    secret = "whsec_not base64!"
    digest = hmac.new(secret.encode(), f"m.{UNIX}.".encode() + BODY, hashlib.sha256).digest()
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(UNIX),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    check(SignatureScheme.STANDARD, headers, secrets=(secret,))
