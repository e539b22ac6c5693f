"""Patterns are found whether there are few of them or many."""

from hypothesis import given
from hypothesis import strategies as st

from runwright.secrets.multi_pattern_search import FEW, MultiPatternSearch

LETTERS = st.lists(st.sampled_from(b"abcd"), min_size=1, max_size=14).map(bytes)
OTHERS = [f"{n:04d}-another-one".encode() for n in range(FEW + 1)]
"""So many that they are found by their heads."""


def covered(spans: list[tuple[int, int]]) -> set[int]:
    return {at for start, end in spans for at in range(start, end)}


@given(st.lists(LETTERS, max_size=30), st.lists(LETTERS, max_size=12).map(b"".join))
def test_many_cover_what_few_cover(patterns: list[bytes], text: bytes) -> None:
    few, many = MultiPatternSearch(patterns), MultiPatternSearch(patterns + OTHERS)
    assert covered(many.spans(text)) >= covered(few.spans(text))
    plain = {at for n in patterns for at in range(len(text)) if text.startswith(n, at)}
    assert {start for start, _ in few.spans(text)} == plain


@given(st.lists(LETTERS, max_size=30), st.lists(LETTERS, max_size=12).map(b"".join), st.sampled_from([1, 4]))
def test_a_partial_match_is_seen_by_few_and_many(patterns: list[bytes], text: bytes, least: int) -> None:
    ends = [
        at
        for at in range(len(text))
        for pattern in patterns
        if len(text) - at >= least and len(pattern) > len(text) - at and pattern.startswith(text[at:])
    ]
    for found in (
        MultiPatternSearch(patterns).partial_match(text, least),
        MultiPatternSearch(patterns + OTHERS).partial_match(text, least),
    ):
        if ends:
            assert 0 <= found <= min(ends)
        else:
            assert found == -1 or text[found:] in patterns


def test_where_many_begin_alike_the_rest_of_the_line_counts_as_found() -> None:
    patterns = MultiPatternSearch([f"the same {n}".encode() for n in range(FEW + 1)])
    assert covered(patterns.spans(b"x the same!\ny")) == set(range(2, 11))
