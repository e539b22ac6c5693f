"""Signatures of outgoing requests, by known answers."""

import base64

from runwright.outbox.signing import hex_signature, new_signing_secret, standard_signature


def test_a_new_secret_has_the_format_of_standard_webhooks() -> None:
    made = {new_signing_secret() for _ in range(3)}
    assert len(made) == 3
    for secret in made:
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
        assert secret.startswith("whsec_")


def test_the_signature_is_the_one_that_receivers_compute() -> None:
    """The second is the example of the specification of Standard Webhooks."""
    assert hex_signature("Jefe", b"what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    signature = standard_signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_of_the_callers_own_is_its_text() -> None:
    for own in ("plain", "whsec_not base64!"):
        encoded = "whsec_" + base64.b64encode(own.encode()).decode()
        assert standard_signature(own, "m", 1, b"x") == standard_signature(encoded, "m", 1, b"x")
