"""Queries are parsed strictly and answered in the right form, whatever arrives."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from runwright.egress.dns_server import (
    AAAA,
    MAX_QUERY_BYTES,
    A,
    Query,
    ResponseCode,
    parse_query,
    write_response,
)


def message_of(name: bytes, kind: int = A, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".")) if name else b""
    return (
        struct.pack("!6H", 7, flags, count, 0, 0, 1) + labels + b"\0" + struct.pack("!HH", kind, 1) + b"opt"
    )


def code_of(response: bytes) -> int:
    return response[3] & 15


def test_a_query_is_parsed_and_repeated_in_its_response() -> None:
    query = parse_query(message_of(b"ExAmple.COM"))
    assert isinstance(query, Query)
    assert (query.name, query.kind, query.internet) == ("example.com", A, True)
    response = write_response(query, ResponseCode.NO_ERROR, bytes([198, 18, 0, 1]))
    number, flags, queries, answers, _, _ = struct.unpack_from("!6H", response)
    assert (number, flags, queries, answers) == (7, 0x8180, 1, 1)
    assert b"\x07ExAmple\x03COM\0" in response
    assert response.endswith(bytes([0, 4, 198, 18, 0, 1]))


def test_a_response_without_an_address_has_none() -> None:
    query = parse_query(message_of(b"example.com", AAAA))
    assert isinstance(query, Query)
    response = write_response(query, ResponseCode.NO_SUCH_NAME)
    assert struct.unpack_from("!6H", response)[3] == 0
    assert code_of(response) == ResponseCode.NO_SUCH_NAME


def test_malformed_queries_are_refused_and_responses_are_ignored() -> None:
    assert parse_query(b"") is None
    assert parse_query(b"x" * (MAX_QUERY_BYTES + 1)) is None
    assert parse_query(message_of(b"a", flags=0x8100)) is None
    for broken, code in (
        (message_of(b"a", count=2), ResponseCode.FORMAT_ERROR),
        (message_of(b"a", count=0), ResponseCode.FORMAT_ERROR),
        (message_of(b"a")[:14], ResponseCode.FORMAT_ERROR),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01", ResponseCode.FORMAT_ERROR),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x3f" + b"a" * 20, ResponseCode.FORMAT_ERROR),
        (message_of(b"a", flags=0x2000), ResponseCode.NOT_IMPLEMENTED),
    ):
        response = parse_query(broken)
        assert isinstance(response, bytes)
        assert code_of(response) == code


def test_invalid_names_are_recognised() -> None:
    for name in (b"", b"a b", b"\xff\xfe", b"a/b", b"-a"):
        query = parse_query(message_of(name))
        assert isinstance(query, Query)
        assert query.name is None


@given(st.binary(max_size=600))
@example(struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x01a" * 300)
def test_no_message_breaks_the_parser(message: bytes) -> None:
    found = parse_query(message)
    if isinstance(found, Query):
        assert message[:2] == write_response(found, ResponseCode.NO_ERROR)[:2]
        assert len(write_response(found, ResponseCode.NO_ERROR)) <= len(message)


@given(st.binary(min_size=1, max_size=300))
def test_no_name_of_a_well_formed_query_breaks_the_parser(tail: bytes) -> None:
    parse_query(struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + tail)
