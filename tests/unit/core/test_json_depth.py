"""The depth of JSON, against a walk over its characters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.json_depth import DEPTH_LIMIT, nests_too_deeply

TEXTS = st.sampled_from(["", "[", "]]", "{", '"', "\\", '\\"[', "é"])
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=60,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 8))
def test_it_is_the_number_of_levels(value: object, limit: int) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    assert nests_too_deeply(text, limit) == (depth_of(value) > limit)


@pytest.mark.parametrize("before", ["", "[],", "[[[]]],{},", '"]]]",'])
@pytest.mark.parametrize("depth", [1, DEPTH_LIMIT - 2, DEPTH_LIMIT - 1, DEPTH_LIMIT, 5000])
def test_one_deep_place_is_found(before: str, depth: int) -> None:
    text = f"[{before * 40}{'[' * depth}{']' * depth}]".encode()
    assert nests_too_deeply(text) == (depth + 1 > DEPTH_LIMIT)
