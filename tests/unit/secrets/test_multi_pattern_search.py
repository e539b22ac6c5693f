"""Patterns are found wherever they are, however many there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.secrets.multi_pattern_search import (
    KEY,
    MOST_ALIKE,
    MultiPatternSearch,
    Span,
    TooCostlyError,
    WorkBudget,
)

LETTERS = st.lists(st.sampled_from(b"ab"), min_size=1, max_size=40).map(bytes)
PATTERNS = st.lists(LETTERS, max_size=12)
TEXTS = st.lists(LETTERS, max_size=12).map(b"".join)


def find(patterns: list[bytes], text: bytes, least: int | None = None) -> list[Span]:
    return MultiPatternSearch(patterns).spans(text, WorkBudget(1_000_000), least)


def covered(spans: list[Span]) -> set[int]:
    return {at for start, end in spans for at in range(start, end)}


def naive(patterns: list[bytes], text: bytes) -> list[Span]:
    return [(at, at + len(one)) for one in patterns for at in range(len(text)) if text.startswith(one, at)]


@given(PATTERNS, TEXTS)
def test_all_that_a_naive_search_finds_is_found_and_nothing_else(patterns: list[bytes], text: bytes) -> None:
    assert covered(find(patterns, text)) == covered(naive(patterns, text))


@given(PATTERNS, TEXTS, st.integers(0, 60))
def test_the_borders_of_slices_hide_nothing(patterns: list[bytes], text: bytes, shift: int) -> None:
    long = b"-" * (4096 - shift) + text + b"-" * (4096 - shift) + text
    assert covered(find(patterns, long)) == covered(naive(patterns, long))


@given(PATTERNS, TEXTS, st.sampled_from([1, 4]))
def test_the_beginning_of_a_pattern_at_the_end_of_a_text_is_found(
    patterns: list[bytes], text: bytes, least: int
) -> None:
    partial = [
        (at, len(text))
        for at in range(len(text))
        for one in patterns
        if len(text) - at >= least and one.startswith(text[at:])
    ]
    found = find(patterns, text, least)
    assert covered(found) == covered(naive(patterns, text) + partial)


def test_where_many_begin_alike_the_rest_of_the_line_counts_as_found() -> None:
    patterns = [b"the same beginning %d" % n for n in range(MOST_ALIKE + 1)]
    assert covered(find(patterns, b"x the same beginning!\ny")) == set(range(2, 21))


def test_a_text_that_matches_too_often_is_too_costly() -> None:
    search = MultiPatternSearch([b"a" * n for n in range(1, KEY)])
    with pytest.raises(TooCostlyError):
        search.spans(b"a" * 1_000_000, WorkBudget(20_000))
