"""JSON is what the rest of the server can read, judged without making objects of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.json_text import count_containers, is_json, outside_strings

PIECES = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b'"a"',
            b'"\\u00e9"',
            b'"\\ud800"',
            b"1",
            b"-1.5e3",
            b"1e999",
        ),
        *(b"e400", b'"1e999"', b"true", b"null", b" ", b"\xff", "é".encode(), b'"\xff"', b"\\", b"NaN"),
        *(b"9" * 400, b"9" * 4300, b"9" * 4301),
    ]
)


def readable(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


@given(st.lists(PIECES, max_size=6).map(b"".join))
def test_it_is_json_where_a_decoder_reads_it(text: bytes) -> None:
    assert is_json(text) == readable(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            b'"a 1e999"',
            b'["\\"1e999", 1e3]',
            b"[" * 100_000,
            b"1e999",
            b'["x", -1e400]',
            b"9" * 400,
            b"[1e-999]",
        ),
        *(
            b'"\xed\xa0\x80"',
            b'{"1e999": 1}',
            b'[{"a": 0.5e307}]',
            b"0.000" + b"1" * 300,
            b"[-" + b"9" * 5000 + b"]",
        ),
    ],
)
def test_numbers_and_text_that_cannot_be_held_are_no_json(text: bytes) -> None:
    assert is_json(text) == readable(text)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (b'{"a": "b", "": [1]}', b"{: , : [1]}"),
        (rb'["\"", "\\", "a\"b"]', b"[, , ]"),
        (rb'["\\\"", 1]', b"[, 1]"),
        (b"[1, true]", b"[1, true]"),
    ],
)
def test_what_is_outside_of_strings(text: bytes, bare: bytes) -> None:
    assert outside_strings(text) == bare


def test_few_containers_are_not_counted_and_many_exactly() -> None:
    assert count_containers(b"[" * 1000) == 0
    assert count_containers(b"[" * 1001) == 1001
    assert count_containers(b'["' + b"[{" * 1000 + b'", {}]') == 2


@pytest.mark.parametrize("literal", ["true", "false", "null", '"x"', "{}", "[[]]"])
@pytest.mark.parametrize("number", ["1e308", "1e309", "9" * 250, "9" * 400])
def test_literals_and_structure_beside_large_numbers_do_not_matter(literal: str, number: str) -> None:
    text = f'{{"a": [{literal}, {number}, {literal}], "b" : {literal}}}'.encode()
    assert is_json(text) == readable(text)


@pytest.mark.parametrize("last", ["1e5", "1e400", "1e+400", "1E400", "1e-400"])
def test_a_large_exponent_is_found_among_many_small_ones(last: str) -> None:
    text = f"[{'1e5, ' * 1500}{last}]".encode()
    assert is_json(text) == readable(text)
