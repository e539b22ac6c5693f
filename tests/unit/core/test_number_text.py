"""Numbers as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.number_text import json_number, plain_decimal

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("number", "plain", "as_json"),
    [
        (7, "7", "7"),
        (7.0, "7", "7"),
        (-0.0, "0", "0"),
        (1e6, "1000000", "1000000"),
        (1e20, "100000000000000000000", "100000000000000000000"),
        (1e21, "1000000000000000000000", "1e+21"),
        (1.5e22, "15000000000000000000000", "1.5e+22"),
        (1e-6, "0.000001", "0.000001"),
        (1.25e-7, "0.000000125", "1.25e-7"),
        (-2.5, "-2.5", "-2.5"),
        (10**30, "1" + "0" * 30, "1" + "0" * 30),
    ],
)
def test_numbers_print(number: float, plain: str, as_json: str) -> None:
    assert (plain_decimal(number), json_number(number)) == (plain, as_json)


@given(FLOATS | st.integers())
def test_a_text_means_the_number_that_it_was_made_of(number: float) -> None:
    assert float(plain_decimal(number)) == float(number) or isinstance(number, int)
    assert float(json_number(number)) == float(number)
    assert "e" not in plain_decimal(number)
