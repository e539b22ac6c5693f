"""The backoff grows up to five minutes, and jitter only shortens it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.retry import backoff_seconds


def test_back_off_doubles_from_one_second() -> None:
    assert [backoff_seconds(n, 0) for n in range(1, 6)] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(("failed", "seconds"), [(1, 0.875), (3, 3.5), (20, 262.5)])
def test_jitter_shortens_a_back_off_by_up_to_a_quarter(failed: int, seconds: float) -> None:
    assert backoff_seconds(failed, 0.5) == seconds


def test_the_longest_back_off_is_five_minutes() -> None:
    assert [backoff_seconds(n, 0) for n in (8, 9, 10, 11, 10_000)] == [128, 256, 300, 300, 300]


@given(failed=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_back_off_is_bounded(failed: int, jitter: float) -> None:
    full = backoff_seconds(failed, 0)
    assert 0.75 * full <= backoff_seconds(failed, jitter) <= full <= 300
