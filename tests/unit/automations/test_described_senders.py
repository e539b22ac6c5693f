"""The senders that the documentation describes by `webhook_hmac`: the description verifies what they send."""

import base64
import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
import pytest

from runwright.automations.webhook_schemes import WebhookHmac, scheme_of
from runwright.automations.webhook_signatures import BadSignatureError, read_signature, verify
from runwright.offload.functions import WebhookTask, evaluate_webhook
from tests.releases import ROOT

NOW: Final = datetime(2026, 4, 11, 12, 0, tzinfo=UTC)
UNIX: Final = "1775908800"
SECRET: Final = "the-shared-secret"
URL: Final = "https://me.example/api/webhooks/global/x--wbh_1"
BODY: Final = b'{"id":"n1","event_id":"n1","update_id":1,"event":{"id":"n1"},"issue":{"key":"A-1"}}'
_ROW: Final = re.compile(r"^\| (?P<names>[^|]+) \| (?P<values>`signature_header=[^|]+) \|$", re.MULTILINE)


def digest(text: bytes, name: str = "sha256") -> bytes:
    return hmac.new(SECRET.encode(), text, name).digest()


def base64_of(text: bytes) -> str:
    return base64.b64encode(digest(text)).decode()


SENT: Final[Mapping[str, Callable[[bytes], dict[str, str]]]] = {
    "Buildkite": lambda _: {"X-Buildkite-Token": SECRET},
    "Calendly": lambda body: {
        "Calendly-Webhook-Signature": f"t={UNIX},v1={digest(f'{UNIX}.'.encode() + body).hex()}"
    },
    "Gitea": lambda body: {"X-Gitea-Signature": digest(body).hex(), "X-Gitea-Delivery": "n1"},
    "HubSpot": lambda body: {
        "X-HubSpot-Signature-v3": base64_of(b"POST" + URL.encode() + body + f"{UNIX}123".encode()),
        "X-HubSpot-Request-Timestamp": f"{UNIX}123",
    },
    "Intercom": lambda body: {"X-Hub-Signature": "sha1=" + digest(body, "sha1").hex()},
    "Jira": lambda body: {
        "X-Hub-Signature": "sha256=" + digest(body).hex(),
        "X-Atlassian-Webhook-Identifier": "n1",
    },
    "PagerDuty": lambda body: {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={digest(body).hex()}"},
    "Sentry": lambda body: {"Sentry-Hook-Signature": digest(body).hex(), "Request-ID": "n1"},
    "Square": lambda body: {"x-square-hmacsha256-signature": base64_of(URL.encode() + body)},
    "Telegram": lambda _: {"X-Telegram-Bot-Api-Secret-Token": SECRET},
    "Typeform": lambda body: {"Typeform-Signature": "sha256=" + base64_of(body)},
    "WooCommerce": lambda body: {
        "X-WC-Webhook-Signature": base64_of(body),
        "X-WC-Webhook-Delivery-ID": "n1",
    },
    "Zendesk": lambda body: {
        "X-Zendesk-Webhook-Signature": base64_of(b"2026-04-11T12:00:00Z" + body),
        "X-Zendesk-Webhook-Signature-Timestamp": "2026-04-11T12:00:00Z",
        "X-Zendesk-Webhook-Invocation-Id": "n1",
    },
}
NO_ID: Final = {"Buildkite", "Calendly", "HubSpot"}


def described() -> dict[str, dict[str, str]]:
    """The table of the page, by the first name of each row."""
    page = (ROOT / "docs" / "incoming-webhooks.md").read_text()
    return {
        found["names"].split(",")[0]: dict(
            value.split("=", 1) for value in re.findall(r"`([^`]+)`", found["values"])
        )
        for found in _ROW.finditer(page)
    }


def test_every_sender_of_the_table_is_tried() -> None:
    assert described().keys() == SENT.keys()


@pytest.mark.parametrize("sender", SENT)
def test_a_sender_is_verified_by_its_description_and_known_by_its_id(sender: str) -> None:
    scheme = scheme_of("hmac", msgspec.convert(described()[sender], WebhookHmac))
    headers = {name.lower(): value for name, value in SENT[sender](BODY).items()}
    given = read_signature(scheme, headers)
    verified = verify(given, BODY, ["retired", SECRET], NOW, urls=["http://me.example/", URL])
    with pytest.raises(BadSignatureError):
        verify(given, BODY, ["retired"], NOW, urls=[URL])
    if scheme.encoding != "token":
        with pytest.raises(BadSignatureError):
            verify(given, BODY + b" ", [SECRET], NOW, urls=[URL])
    context = {"kind": "webhook", "scope": "global", "source": "webhook", "workspace_id": "", "data": {}}
    task = WebhookTask(
        body=BODY,
        context=json.dumps(context).encode(),
        filter={},
        strict=True,
        limit_bytes=10_000,
        id_fields=scheme.id_fields,
    )
    found = verified.delivery_id or evaluate_webhook(task).delivery_id
    assert found == {"Telegram": "1"}.get(sender, None if sender in NO_ID else "n1")
