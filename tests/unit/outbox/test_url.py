"""URLs of requests that are sent: what the Host header has, and why one is refused before its name is resolved."""

from ipaddress import ip_address

import pytest

from runwright.core.hostnames import parse_trusted
from runwright.outbox.client.url import OutgoingPolicy, OwnIngress, parse_target


@pytest.mark.parametrize(
    ("url", "authority", "resource"),
    [
        ("https://hooks.example", "hooks.example", "/"),
        ("https://HOOKS.example:443/a?b=1", "hooks.example", "/a?b=1"),
        ("https://hooks.example:80/", "hooks.example:80", "/"),
        ("http://hooks.example:80/?q", "hooks.example", "/?q"),
        ("http://hooks.example:443", "hooks.example:443", "/"),
        ("https://[2606:4700::1]:8443/x", "[2606:4700::1]:8443", "/x"),
        ("https://[2606:4700::1]", "[2606:4700::1]", "/"),
    ],
)
def test_the_host_header_names_a_port_that_is_not_the_schemes(
    url: str, authority: str, resource: str
) -> None:
    parsed = parse_target(url)
    assert (parsed.authority, parsed.resource) == (authority, resource)


@pytest.mark.parametrize(
    ("url", "reason", "reason_in_development"),
    [
        ("https://hooks.example", None, None),
        ("http://hooks.example", "must use https", None),
        ("https://localhost", "names a private host", None),
        ("https://a.localhost", "names a private host", None),
        ("https://db.internal", "names a private host", "names a private host"),
        ("https://127.0.0.1", "leads to a loopback address", None),
        ("https://10.0.0.1", "leads to a private address", "leads to a private address"),
        ("https://1.1.1.1", None, None),
    ],
)
def test_a_target_is_refused_with_the_reason(
    url: str, reason: str | None, reason_in_development: str | None
) -> None:
    assert OutgoingPolicy().refuse_target(parse_target(url)) == reason
    assert OutgoingPolicy(dev=True).refuse_target(parse_target(url)) == reason_in_development


def test_what_the_operator_trusts_may_be_private() -> None:
    policy = OutgoingPolicy(trusted=(parse_trusted("db.internal:8443"), parse_trusted("10.0.0.0/8")))
    assert policy.refuse_target(parse_target("https://db.internal:8443/")) is None
    assert policy.refuse_target(parse_target("https://db.internal/")) == "names a private host"
    assert policy.refuse_target(parse_target("https://10.1.2.3/")) is None


OWN = OutgoingPolicy(own=OwnIngress(ip_address("127.0.0.1"), 8080))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080/api/webhooks/global/shop-wbh_1", True),
        ("http://0x7f.1:8080/api/webhooks/global/shop", True),
        ("http://127.0.0.1:8080/api/webhooks/global/", False),
        ("http://127.0.0.1:8080/api/webhooks/global/shop?x=1", False),
        ("http://127.0.0.1:8080/api/webhooks/global/../../v1/ava/jobs", False),
        ("http://127.0.0.1:8080/api/webhooks/global/shop/x", False),
        ("http://127.0.0.1:8080/api/webhooks/workspaces/a/shop", False),
        ("http://127.0.0.1:8080/v1/ava/jobs", False),
        ("http://127.0.0.1:8080//api/webhooks/global/shop", False),
        ("https://127.0.0.1:8080/api/webhooks/global/shop", False),
        ("https://127.0.0.1:8080/", False),
        ("http://127.0.0.1:8081/api/webhooks/global/shop", False),
        ("http://127.0.0.2:8080/api/webhooks/global/shop", False),
        ("http://localhost:8080/api/webhooks/global/shop", False),
        ("http://hooks.example:8080/api/webhooks/global/shop", False),
    ],
)
def test_the_demonstration_reaches_its_own_triggers_and_nothing_else_of_the_server(
    url: str, allowed: bool
) -> None:
    assert (OWN.refuse_target(parse_target(url)) is None) == allowed


def test_a_name_that_leads_to_the_own_address_is_refused() -> None:
    address = ip_address("127.0.0.1")
    assert OWN.refuse_address(None, address, 8080) is None
    assert OWN.refuse_address("hooks.example", address, 8080) == "loopback address"
    assert OWN.refuse_address(None, address, 8081) == "loopback address"
