"""Needles are found whether there are few of them or many."""

from hypothesis import given
from hypothesis import strategies as st

from runwright.secrets.multi_pattern_search import FEW, MultiPatternSearch

LETTERS = st.lists(st.sampled_from(b"abcd"), min_size=1, max_size=14).map(bytes)
OTHERS = [f"{n:04d}-another-one".encode() for n in range(FEW + 1)]
"""So many that they are found by their heads."""


def covered(spans: list[tuple[int, int]]) -> set[int]:
    return {at for start, end in spans for at in range(start, end)}


@given(st.lists(LETTERS, max_size=30), st.lists(LETTERS, max_size=12).map(b"".join))
def test_many_cover_what_few_cover(needles: list[bytes], text: bytes) -> None:
    few, many = MultiPatternSearch(needles), MultiPatternSearch(needles + OTHERS)
    assert covered(many.spans(text)) >= covered(few.spans(text))
    plain = {at for n in needles for at in range(len(text)) if text.startswith(n, at)}
    assert {start for start, _ in few.spans(text)} == plain


@given(st.lists(LETTERS, max_size=30), st.lists(LETTERS, max_size=12).map(b"".join), st.sampled_from([1, 4]))
def test_an_unfinished_needle_is_seen_by_few_and_many(needles: list[bytes], text: bytes, least: int) -> None:
    ends = [
        at
        for at in range(len(text))
        for needle in needles
        if len(text) - at >= least and len(needle) > len(text) - at and needle.startswith(text[at:])
    ]
    for found in (
        MultiPatternSearch(needles).unfinished(text, least),
        MultiPatternSearch(needles + OTHERS).unfinished(text, least),
    ):
        if ends:
            assert 0 <= found <= min(ends)
        else:
            assert found == -1 or text[found:] in needles


def test_where_many_begin_alike_the_rest_of_the_line_counts_as_found() -> None:
    needles = MultiPatternSearch([f"the same {n}".encode() for n in range(FEW + 1)])
    assert covered(needles.spans(b"x the same!\ny")) == set(range(2, 11))
