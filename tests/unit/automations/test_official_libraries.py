"""The senders' own libraries and we understand each other's signatures."""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import standardwebhooks
import stripe
import svix

from runwright.automations.webhook_schemes import SignatureScheme
from runwright.automations.webhook_signatures import (
    BadSignatureError,
    StaleTimestampError,
    read_signature,
    verify,
)
from runwright.outbox.signing import new_signing_secret, standard_signature

BODY = '{"type": "user.created", "data": {"name": "Zoë"}}'
ENCODED = base64.b64encode(bytes(range(1, 33))).decode()
SECRETS = [new_signing_secret(), f"whsec_{ENCODED.rstrip('=')}", ENCODED, ENCODED.rstrip("=")]
Library = Callable[[str], standardwebhooks.Webhook | svix.Webhook]


@pytest.mark.parametrize("secret", SECRETS, ids=["ours", "unpadded", "bare", "bare and unpadded"])
@pytest.mark.parametrize(("library", "name"), [(standardwebhooks.Webhook, "webhook"), (svix.Webhook, "svix")])
def test_what_standard_libraries_sign_is_accepted_and_what_we_sign_they_accept(
    library: Library, name: str, secret: str
) -> None:
    now, theirs = datetime.now(UTC), library(secret)
    headers = {
        f"{name}-id": "msg_1",
        f"{name}-timestamp": str(int(now.timestamp())),
        f"{name}-signature": theirs.sign("msg_1", now, BODY),
    }
    given = read_signature(SignatureScheme.STANDARD, headers)
    verified = verify(given, BODY.encode(), ["whsec_" + ENCODED[::-1].strip("="), secret], now)
    assert verified.delivery_id == "msg_1"
    with pytest.raises(BadSignatureError):
        verify(given, BODY.encode() + b" ", [secret], now)
    ours = standard_signature(secret, "msg_1", int(now.timestamp()), BODY.encode())
    theirs.verify(BODY, headers | {f"{name}-signature": ours})
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        theirs.verify(BODY + " ", headers | {f"{name}-signature": ours})


@pytest.mark.parametrize("secret", ["whsec_test_secret", f"whsec_{ENCODED}"])
def test_stripes_header_is_understood_as_its_library_does(secret: str) -> None:
    at = int(time.time())
    library = stripe.WebhookSignature
    digest = library._compute_signature(f"{at}.{BODY}", secret)  # noqa: SLF001  what Stripe's tests sign with
    other = library._compute_signature(f"{at}.{BODY}", "whsec_retired")  # noqa: SLF001  as above
    header = f"t={at},v1={other},v1={digest},v0=old"
    assert library.verify_header(BODY, header, secret, tolerance=300)
    given = read_signature(SignatureScheme.STRIPE, {"stripe-signature": header})
    verify(given, BODY.encode(), [secret], datetime.fromtimestamp(at, UTC))
    with pytest.raises(BadSignatureError):
        verify(given, BODY.encode(), ["whsec_another"], datetime.fromtimestamp(at, UTC))
    with pytest.raises(StaleTimestampError):
        verify(given, BODY.encode(), [secret], datetime.fromtimestamp(at + 301, UTC))
