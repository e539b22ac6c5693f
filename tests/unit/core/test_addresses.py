"""Only public addresses pass, in whatever spelling they come."""

import ipaddress
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runwright.core.addresses import embedded, looks_numeric, parse_address, refusal

REFUSED = {
    "0.0.0.0": "address of this network",
    "0.1.2.3": "address of this network",
    "10.0.0.1": "private address",
    "10.255.255.255": "private address",
    "100.64.0.1": "address of a carrier's network",
    "100.127.255.255": "address of a carrier's network",
    "100.100.100.200": "cloud metadata address",
    "127.0.0.1": "loopback address",
    "127.255.255.254": "loopback address",
    "168.63.129.16": "cloud metadata address",
    "169.254.0.1": "link-local address",
    "169.254.169.254": "cloud metadata address",
    "169.254.170.2": "cloud metadata address",
    "172.16.0.1": "private address",
    "172.31.255.255": "private address",
    "192.0.0.1": "reserved address",
    "192.0.0.192": "cloud metadata address",
    "192.0.2.1": "documentation address",
    "192.88.99.1": "6to4 relay address",
    "192.168.1.1": "private address",
    "198.18.0.1": "benchmarking address",
    "198.19.255.255": "benchmarking address",
    "198.51.100.1": "documentation address",
    "203.0.113.1": "documentation address",
    "224.0.0.1": "multicast address",
    "239.255.255.250": "multicast address",
    "240.0.0.1": "reserved address",
    "255.255.255.255": "reserved address",
    "::": "unspecified address",
    "::1": "loopback address",
    "::127.0.0.1": "IPv4-compatible address",
    "::93.184.216.34": "IPv4-compatible address",
    "::ffff:127.0.0.1": "loopback address",
    "::ffff:10.1.2.3": "private address",
    "::ffff:a9fe:a9fe": "cloud metadata address",
    "::ffff:0:7f00:1": "IPv4-translated address",
    "64:ff9b::127.0.0.1": "loopback address",
    "64:ff9b::a9fe:a9fe": "cloud metadata address",
    "64:ff9b:1::1": "NAT64 address of a local network",
    "64:ff9b:1:ffff::8.8.8.8": "NAT64 address of a local network",
    "100::1": "discard-only address",
    "2001::1": "Teredo address",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo address",
    "2001:2::1": "reserved address",
    "2001:10::1": "reserved address",
    "2001:20::1": "reserved address",
    "2001:db8::1": "documentation address",
    "2002:7f00:1::": "6to4 address",
    "2002:808:808::1": "6to4 address",
    "3fff::1": "documentation address",
    "5f00::1": "segment routing address",
    "4000::1": "reserved address",
    "fc00::1": "private address",
    "fd00:ec2::254": "cloud metadata address",
    "fd12:3456:789a::1": "private address",
    "fe80::1": "link-local address",
    "fe80::1%eth0": "link-local address",
    "fe80::5efe:808:808": "link-local address",
    "fec0::1": "site-local address",
    "ff02::1": "multicast address",
    "2600::5efe:10.0.0.1": "ISATAP address of a private network",
    "2600::200:5efe:192.168.0.1": "ISATAP address of a private network",
}
PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255"),
    *("198.17.255.255", "198.20.0.0", "223.255.255.255", "169.253.255.255", "169.255.0.0"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8"),
    "2600::5efe:8.8.8.8",
)


@pytest.mark.parametrize(("text", "why"), REFUSED.items())
def test_what_is_not_public_is_refused_and_says_why(text: str, why: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert refusal(address) == why


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text: str) -> None:
    assert refusal(ipaddress.ip_address(text)) is None


@given(st.ip_addresses(v=4))
@example(ipaddress.IPv4Address("192.88.99.1"))
def test_no_ipv4_address_passes_that_python_does_not_call_global(address: ipaddress.IPv4Address) -> None:
    if refusal(address) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4, network="0.0.0.0/0").filter(lambda a: a.is_global and not a.is_multicast))
def test_of_global_ipv4_addresses_only_metadata_and_6to4_relays_are_refused(a: ipaddress.IPv4Address) -> None:
    special = a in ipaddress.ip_network("192.88.99.0/24") or a in ipaddress.ip_network("192.0.0.0/24")
    assert (refusal(a) is not None) == (special or str(a) == "168.63.129.16")


@given(st.ip_addresses(v=6) | st.ip_addresses(v=6, network="2000::/3"))
def test_no_ipv6_address_passes_that_python_does_not_call_global(address: ipaddress.IPv6Address) -> None:
    if refusal(address) is None and embedded(address) is None:
        assert address.is_global
        assert not address.is_multicast
        assert address.teredo is None
        assert address.sixtofour is None


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_an_address_that_stands_for_an_ipv4_one_is_as_public_as_that(
    inner: ipaddress.IPv4Address, prefix: str
) -> None:
    outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(inner))
    assert refusal(outer) == refusal(inner)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0xA9.0xFE.0xA9.0xFE", "169.254.169.254"),
        ("169.254.43518", "169.254.169.254"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("1.2.3.0X", "1.2.3.0"),
        ("0" * 128, "0.0.0.0"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("::FFFF:7F00:1", "127.0.0.1"),
        ("0:0:0:0:0:ffff:127.0.0.1", "127.0.0.1"),
        ("fe80::1%25", "fe80::1%25"),
    ],
)
def test_every_spelling_of_an_address_is_read(text: str, meant: str) -> None:
    assert str(parse_address(text)) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "08.1.1.1", "4294967296", "1..2", "example.com"),
        *("0" * 129, "fe80::1%" + "a" * 121, "fe80::1%\u00e9", "\u0661.1.1.1", "[::1", "::1]"),
    ],
)
def test_what_is_no_address_is_not_read_as_one(text: str) -> None:
    address = parse_address(text)
    assert address is None


@given(st.text(alphabet="0123456789abcdefx.", max_size=20))
def test_whatever_the_c_library_takes_for_an_address_we_do_too(text: str) -> None:
    try:
        packed = socket.inet_aton(text)
    except OSError:
        return
    assert parse_address(text) == ipaddress.IPv4Address(packed)
    assert looks_numeric(text)


@given(st.ip_addresses())
def test_every_address_is_read_as_itself(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    read = parse_address(str(address))
    assert read is not None
    assert refusal(read) == refusal(address)


def test_a_number_may_have_every_digit() -> None:
    assert str(parse_address("1023456789")) == "61.0.182.21"
    assert str(parse_address("0x12345678")) == "18.52.86.120"


@pytest.mark.parametrize(
    ("name", "numeric"),
    [("a.08", True), ("a.0x1f", True), ("a.0X", True), ("a.b1", False), ("a.1X", False), ("a.1.", True)],
)
def test_a_name_that_ends_in_a_number_looks_like_an_address(name: str, numeric: bool) -> None:
    assert looks_numeric(name) is numeric
