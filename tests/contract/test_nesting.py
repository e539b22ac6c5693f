"""The depth of JSON text, found without walking it."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.contract.client import Json

from runwright.core.json_depth import nests_too_deeply

texts = st.text(alphabet=st.sampled_from('[]{}"\\ax'))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=40,
)


def depth(value: Json) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values, st.integers(0, 6))
def test_it_is_the_depth_that_walking_finds(value: Json, limit: int) -> None:
    assert nests_too_deeply(json.dumps(value).encode(), limit) == (depth(value) > limit)
