"""Signatures over what comes in: the vectors of each form, freshness, rotation, replay keys."""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.automations.webhook_schemes import SCHEMES, SignatureScheme, WebhookHmac, scheme_of
from runwright.automations.webhook_signatures import (
    BadSignatureError,
    SignatureHeaderError,
    StaleTimestampError,
    VerifiedWebhook,
    identified,
    read_signature,
    sign,
    verify,
)
from runwright.outbox.signing import standard_keys, standard_signature
from tests.webhook_sender import OWN_HMAC, headers_of

NOW = datetime(2026, 4, 11, 12, 0, tzinfo=UTC)
UNIX = 1_775_908_800
SECRET = "shared-secret"
BODY = b'{"payload":"deploy"}'
VECTOR = "sha256=56722eb6d0b2d0085497943e123e7fd36931450560844474d73ce41f1fabc012"

AGH = {"x-agh-webhook-timestamp": str(UNIX), "x-agh-webhook-signature": VECTOR}


HMAC = scheme_of("hmac", msgspec.convert(OWN_HMAC, WebhookHmac))
DATED = [one for one in SignatureScheme if one in {"agh", "stripe", "slack", "standard", "svix", "hmac"}]
IN_HEADER = [one for one in SignatureScheme if one not in {"agh", "stripe", "slack", "meta"}]


def check(
    scheme: SignatureScheme,
    headers: dict[str, str],
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
    now: datetime = NOW,
) -> VerifiedWebhook:
    described = HMAC if scheme is SignatureScheme.HMAC else SCHEMES[scheme]
    urls = (f"https://me.example/?bodySHA256={hashlib.sha256(body).hexdigest()}",)
    return verify(read_signature(described, headers), body, secrets, now, urls=urls)


def signed_by(scheme: SignatureScheme, secret: str, body: bytes, message_id: str = "msg_1") -> dict[str, str]:
    url = f"https://me.example/?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = headers_of(scheme, secret, body, message_id, at=UNIX, url=url)
    signed = {name.lower(): value for name, value in headers.items()}
    if scheme is SignatureScheme.AGH:
        del signed["x-agh-webhook-delivery-id"]
    return signed


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


@pytest.mark.parametrize("scheme", DATED)
def test_a_signed_time_may_be_five_minutes_off_and_no_more(scheme: SignatureScheme) -> None:
    headers = signed_by(scheme, SECRET, BODY)
    for off in (300, -300):
        check(scheme, headers, now=NOW + timedelta(seconds=off))
    for beyond in (301, -301):
        with pytest.raises(StaleTimestampError):
            check(scheme, headers, now=NOW + timedelta(seconds=beyond))


def test_a_claim_of_aghs_is_remembered_as_long_as_its_time_can_be_fresh() -> None:
    early = check(SignatureScheme.AGH, AGH, now=NOW - timedelta(minutes=5))
    assert early.fresh_until == NOW + timedelta(minutes=5)


@pytest.mark.parametrize("scheme", IN_HEADER)
def test_the_senders_id_is_the_identity_for_days_whatever_it_comes_with(scheme: SignatureScheme) -> None:
    first = check(scheme, signed_by(scheme, SECRET, BODY))
    again = check(scheme, signed_by(scheme, "rotated", b"again"), b"again", ("rotated",))
    other = check(scheme, signed_by(scheme, SECRET, BODY, "msg_2"))
    assert first.replay_keys == again.replay_keys
    assert first.fresh_until >= NOW + timedelta(days=3)
    assert not set(first.replay_keys) & set(other.replay_keys), "equal bodies are different deliveries"


@pytest.mark.parametrize("scheme", ["stripe", "slack"])
def test_an_id_in_the_body_is_the_identity_and_the_message_only_where_there_is_none(scheme: str) -> None:
    named = SignatureScheme(scheme)
    verified = check(named, signed_by(named, SECRET, BODY))
    assert verified.fresh_until == NOW + timedelta(minutes=5)
    known = identified(verified, "evt_1", NOW)
    assert (
        known.replay_keys
        == identified(check(named, signed_by(named, SECRET, b"2"), b"2"), "evt_1", NOW).replay_keys
    )
    assert known.fresh_until >= NOW + timedelta(days=3)
    assert identified(verified, None, NOW) == verified


def test_an_id_that_events_may_share_counts_with_the_body() -> None:
    """GitLab gives all events that cause one another the same `X-Gitlab-Event-UUID`."""
    headers = {"x-gitlab-token": SECRET, "x-gitlab-event-uuid": "u1"}
    first, other = (check(SignatureScheme.GITLAB, headers, body) for body in (b"1", b"2"))
    again = check(SignatureScheme.GITLAB, headers, b"1", now=NOW + timedelta(hours=1))
    unlike = check(SignatureScheme.GITLAB, headers | {"x-gitlab-event-uuid": "u2"}, b"1")
    assert first.replay_keys == again.replay_keys
    assert len({first.replay_keys, other.replay_keys, unlike.replay_keys}) == 3
    assert first.fresh_until >= NOW + timedelta(days=3)
    keyed = [check(SignatureScheme.GITLAB, headers | {"idempotency-key": "k"}, body) for body in (b"1", b"2")]
    assert keyed[0].replay_keys == keyed[1].replay_keys


def test_a_token_that_a_sender_writes_in_utf_8_is_read_as_headers_are_and_as_it_was_meant() -> None:
    token = "pässwörd"
    for spelled in (token, token.encode().decode("latin-1")):
        assert (
            check(SignatureScheme.GITLAB, {"x-gitlab-token": spelled}, secrets=(token,)).delivery_id is None
        )
    for wrong in ("passwort", token + "x", "\xff", "пароль"):
        with pytest.raises(BadSignatureError):
            check(SignatureScheme.GITLAB, {"x-gitlab-token": wrong}, secrets=(token,))


def test_a_blank_secret_verifies_nothing() -> None:
    headers = {"x-hub-signature-256": "sha256=" + hmac.new(b"", BODY, "sha256").hexdigest()}
    for blank in ("", "   "):
        with pytest.raises(BadSignatureError):
            check(SignatureScheme.GITHUB, headers, secrets=(blank,))


def test_twilio_signs_a_field_that_comes_twice_once() -> None:
    url, body = "https://me.example/hook", b"To=2&From=1&From=1"
    signed = base64.b64encode(hmac.digest(SECRET.encode(), f"{url}From1To2".encode(), "sha1")).decode()
    given = read_signature(SCHEMES[SignatureScheme.TWILIO], {"x-twilio-signature": signed})
    form = "application/x-www-form-urlencoded"
    assert verify(given, body, [SECRET], NOW, urls=[url], content_type=form).delivery_id is None


def test_the_id_of_a_header_counts_before_that_of_a_body() -> None:
    verified = check(SignatureScheme.GITLAB, {"x-gitlab-token": SECRET, "idempotency-key": "k"})
    assert identified(verified, "other", NOW) == verified


@pytest.mark.parametrize(
    ("scheme", "fields"),
    [(SignatureScheme.STRIPE, ("id",)), (SignatureScheme.SLACK, ("event_id", "trigger_id"))],
)
def test_senders_whose_headers_name_no_delivery_name_it_in_the_body(
    scheme: SignatureScheme, fields: tuple[str, ...]
) -> None:
    """Stripe's events have an `id`; Slack's events an `event_id`, its commands a `trigger_id`."""
    assert SCHEMES[scheme].id_fields == fields
    assert check(scheme, signed_by(scheme, SECRET, BODY)).delivery_id is None


def test_metas_bodies_have_their_time_so_one_that_comes_again_hours_later_is_known() -> None:
    verified = check(SignatureScheme.META, signed_by(SignatureScheme.META, SECRET, BODY))
    assert verified.fresh_until >= NOW + timedelta(days=3)
    bare = check(SignatureScheme.GITHUB, {"x-hub-signature-256": f"sha256={hex_of(BODY)}"})
    assert bare.fresh_until == NOW + timedelta(minutes=5), "where there is no id, and no time"


def hex_of(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, "sha256").hexdigest()


def test_the_same_message_is_known_again_whatever_id_it_comes_with() -> None:
    bare = check(SignatureScheme.AGH, AGH).replay_keys
    first = check(SignatureScheme.AGH, AGH | {"x-agh-webhook-delivery-id": "d1"}).replay_keys
    second = check(SignatureScheme.AGH, AGH | {"x-agh-webhook-delivery-id": "d2"}).replay_keys
    assert set(first) & set(second) == set(bare)
    assert len(first) == 2


@pytest.mark.parametrize("scheme", SignatureScheme)
def test_another_message_with_the_same_id_is_known_by_its_id(scheme: SignatureScheme) -> None:
    keys = [set(check(scheme, signed_by(scheme, SECRET, body), body).replay_keys) for body in (b"1", b"2")]
    assert bool(keys[0] & keys[1]) is (scheme in IN_HEADER)


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
    if scheme is not SignatureScheme.GITLAB:  # whose header is the secret
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


SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
TWILIO_FORM = (
    b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
)


def test_slacks_published_vector() -> None:
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    at = datetime.fromtimestamp(1_531_420_618, UTC)
    check(SignatureScheme.SLACK, headers, SLACK_BODY, ("8f742231b10e8888abcd99yyyzzz85a5",), at)


@pytest.mark.parametrize("right", [True, False])
def test_twilio_signs_the_url_and_the_sorted_fields_of_the_form(right: bool) -> None:
    """The URL, fields, token and signature of its documentation."""
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    given = read_signature(SignatureScheme.TWILIO, headers)
    form = TWILIO_FORM if right else TWILIO_FORM + b"&More=1"
    content_type = "application/x-www-form-urlencoded; charset=UTF-8"
    urls = ("http://mycompany.com/myapp.php", url)
    if right:
        verify(given, form, ["12345"], NOW, urls=urls, content_type=content_type)
        return
    with pytest.raises(BadSignatureError):
        verify(given, form, ["12345"], NOW, urls=urls, content_type=content_type)


@pytest.mark.parametrize(
    ("custom", "headers"),
    [
        ({"prefix": "sha1=", "algorithm": "sha1"}, {"x-signature": "sha1={hex:sha1:body}"}),
        ({"encoding": "base64", "algorithm": "sha512"}, {"x-signature": "{base64:sha512:body}"}),
        (
            {"signed": "{timestamp}:{body}", "signature_key": "h1", "timestamp_key": "ts"},
            {"x-signature": "ts=1775908800;h1={hex:sha256:1775908800:body}"},
        ),
        (
            {"signed": "{id}|{timestamp}|{body}", "timestamp_header": "X-Time", "id_header": "X-Id"},
            {"x-signature": "{hex:sha256:7|1775908800123|body}", "x-time": "1775908800123", "x-id": "7"},
        ),
        ({"encoding": "token"}, {"x-signature": SECRET}),
        ({"encoding": "token", "prefix": "Bearer "}, {"x-signature": f"Bearer {SECRET}"}),
        ({"secret_encoding": "hex"}, {"x-signature": "{hexkey}"}),
    ],
)
def test_a_sender_without_a_scheme_is_described(custom: dict[str, str], headers: dict[str, str]) -> None:
    scheme = scheme_of("hmac", msgspec.convert({"signature_header": "X-Signature"} | custom, WebhookHmac))
    secret = "00ff" * 8 if "secret_encoding" in custom else SECRET
    key = bytes.fromhex(secret) if "secret_encoding" in custom else secret.encode()

    def filled(text: str) -> str:
        found = re.search(r"\{(hex|base64):(\w+):(.*)\}", text)
        if text == "{hexkey}":
            return hmac.new(key, b"body", "sha256").hexdigest()
        if found is None:
            return text
        digest = hmac.new(key, found[3].encode(), found[2])
        value = digest.hexdigest() if found[1] == "hex" else base64.b64encode(digest.digest()).decode()
        return text.replace(found[0], value)

    given = read_signature(scheme, {name: filled(text) for name, text in headers.items()})
    verify(given, b"body", [secret], NOW)
    for body, secrets in ((b"other", [secret]), (b"body", ["another"])):
        if "token" not in custom.values() or secrets != [secret]:
            with pytest.raises(BadSignatureError):
                verify(given, body, secrets, NOW)


KEY = bytes(range(24))
ENCODED = base64.b64encode(KEY[:22]).decode()


@pytest.mark.parametrize(
    "secret", [f"whsec_{ENCODED}", f"whsec_{ENCODED.rstrip('=')}", ENCODED, ENCODED.rstrip("=")]
)
def test_secrets_of_standard_webhooks_are_decoded_in_all_their_forms(secret: str) -> None:
    assert standard_keys(secret)[0] == KEY[:22]
    signed = f"msg.{UNIX}.".encode() + BODY
    ours = base64.b64encode(hmac.new(KEY[:22], signed, "sha256").digest()).decode()
    assert f"v1,{ours}" in standard_signature(secret, "msg", UNIX, BODY).split()
    headers = {"svix-id": "msg", "svix-timestamp": str(UNIX), "svix-signature": f"v1,{ours}"}
    for scheme in (SignatureScheme.STANDARD, SignatureScheme.SVIX):
        check(scheme, headers, secrets=(secret,))


@pytest.mark.parametrize("secret", ["shared-secret", "secret12", "whsec_", "correct horse battery staple!"])
def test_a_secret_that_is_a_text_is_its_key(secret: str) -> None:
    assert standard_keys(secret) == (secret.encode(),)
