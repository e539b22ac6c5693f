"""Names are compared in one form; an operator's exceptions say exactly what they mean."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.addresses import parse_address
from runwright.core.hostnames import is_private_name, normal_host, normal_name, parse_trusted, trusted_ports


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("a_b.example", "a_b.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("0x7f.1", "127.0.0.1"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("", None),
        ("a..b", None),
        ("-a.b", None),
        ("a b", None),
        ("a/b", None),
        ("a:80", None),
        ("bücher.example", None),
        ("a" * 64, None),
        (".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61])),
        (".".join(["a" * 63] * 3 + ["b" * 62]), None),
        ("a\n", None),
    ],
)
def test_hosts_have_one_normal_form(text: str, normal: str | None) -> None:
    assert normal_host(text) == normal


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("metadata.google.internal", True),
        ("printer.local", True),
        ("router.home.arpa", True),
        ("1.0.0.127.in-addr.arpa", True),
        ("example.com", False),
        ("local.example.com", False),
        ("internal", True),
        ("notlocalhost", False),
    ],
)
def test_names_that_never_mean_a_public_host_are_known(name: str, private: bool) -> None:
    assert is_private_name(name) == private


@pytest.mark.parametrize(
    ("entry", "name", "address", "port", "covered"),
    [
        ("db.corp", "db.corp", "10.0.0.1", 5432, True),
        ("DB.corp.", "db.corp", "10.0.0.1", 1, True),
        ("db.corp:5432", "db.corp", "10.0.0.1", 5432, True),
        ("db.corp:5432", "db.corp", "10.0.0.1", 5433, False),
        ("db.corp:1", "db.corp", "10.0.0.1", 1, True),
        ("db.corp:65535", "db.corp", "10.0.0.1", 65535, True),
        ("db.corp", "x.db.corp", "10.0.0.1", 5432, False),
        ("db.corp", None, "10.0.0.1", 5432, False),
        ("10.0.0.0/8", None, "10.1.2.3", 80, True),
        ("10.0.0.0/8", "any.example", "10.1.2.3", 80, True),
        ("10.0.0.0/8", None, "::ffff:10.1.2.3", 80, True),
        ("10.0.0.0/8", None, "11.1.2.3", 80, False),
        ("10.0.0.0/8:5432", None, "10.1.2.3", 80, False),
        ("10.0.0.7", None, "10.0.0.7", 80, True),
        ("10.0.0.7:80", None, "10.0.0.8", 80, False),
        ("0x0a000007", None, "10.0.0.7", 80, True),
        ("[fd00::/8]:443", None, "fd00::1", 443, True),
        ("fd00::/8", None, "fd00::1", 443, True),
        ("fd00::1", None, "fd00::1", 443, True),
        ("[fd00::1]", None, "fd00::1", 443, True),
        ("fd00::1", None, "10.0.0.1", 443, False),
    ],
)
def test_a_trusted_entry_covers_what_it_names(
    entry: str, name: str | None, address: str, port: int, covered: bool
) -> None:
    assert parse_trusted(entry).covers(name, parse_address(address), port) == covered


@pytest.mark.parametrize(
    "entry",
    ["", "a b", "10.0.0.1/8", "10.0.0.0/33", "db:0", "db:65536", "db:x", "http://db", "[::1", "a/b", ":80"],
)
def test_what_is_no_entry_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_trusted(entry)


def test_the_zone_of_an_address_does_not_count() -> None:
    assert parse_trusted("fe80::1%eth0") == parse_trusted("fe80::1")


def test_the_ports_of_entries_are_known() -> None:
    assert trusted_ports([parse_trusted(e) for e in ("a:1", "b", "10.0.0.0/8:2")]) == {1, 2}


@given(st.text(max_size=40))
def test_reading_never_does_anything_but_read_or_refuse(text: str) -> None:
    normal_name(text)
    normal_host(text)
    with contextlib.suppress(ValueError):
        parse_trusted(text)
