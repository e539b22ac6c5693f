"""A pattern in a message is the pattern, and not the text of it in Python."""

import pytest

from runwright.http.validation_messages import explain_mismatch


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (r"Expected `str` matching regex '^a(\\.[a-z]+)+$'", r"Must match ^a(\.[a-z]+)+$."),
        ('Expected `str` matching regex "^it\'s$"', "Must match ^it's$."),
        ("Object contains unknown field `'x'`", "Has the unknown field 'x'."),
        ("Expected `int` >= 1", "Must be at least 1."),
    ],
)
def test_a_pattern_is_shown_as_it_is(error: str, message: str) -> None:
    assert explain_mismatch(error, str)[1] == message
