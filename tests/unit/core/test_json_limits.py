"""The depth and the number of lists and objects are exact at their limits, and strings do not count."""

import json
from typing import Any

import pytest

from runwright.core.json_depth import nests_too_deeply
from runwright.core.json_text import count_containers, outside_strings


def nested(levels: int, *, beside: int = 0) -> bytes:
    value: Any = 0
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return json.dumps([value, *([[]] * beside)] if beside else value).encode()


@pytest.mark.parametrize("limit", [2, 7, 8, 9, 64])
@pytest.mark.parametrize("beside", [0, 200])
def test_the_limit_is_the_deepest_that_is_allowed(limit: int, beside: int) -> None:
    inside = limit - 1 if beside else limit
    assert not nests_too_deeply(nested(inside, beside=beside), limit)
    assert nests_too_deeply(nested(inside + 1, beside=beside), limit)


def test_brackets_in_strings_are_no_levels_and_no_containers() -> None:
    text = json.dumps(["[[[{" * 50, {'a"[': '\\"{'}]).encode()
    assert not nests_too_deeply(text, 2)
    assert outside_strings(text).translate(None, b" ") == b"[,{:}]"
    many = json.dumps([{"[": ["{{"]}] * 2_000).encode()
    assert count_containers(many) == 4_001
