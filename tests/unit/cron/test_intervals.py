"""Grids and single instants: the same law as a cron expression's timetable."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from runwright.cron.intervals import Every, Once

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = st.integers(-100_000, 100_000).map(lambda n: timedelta(seconds=n))
STEPS = st.integers(1, 5_000).map(lambda n: timedelta(seconds=n))


@given(step=STEPS, at=SECONDS)
def test_a_grid_is_met_at_its_next_point_and_never_at_or_before_its_anchor(
    step: timedelta, at: timedelta
) -> None:
    following = Every(NOON, step).next_after(NOON + at)
    assert following is not None
    assert following > NOON + at
    assert following > NOON
    assert (following - NOON) % step == timedelta()
    assert following - step <= max(NOON + at, NOON)


@given(step=STEPS, after=SECONDS, span=st.integers(0, 50_000))
def test_a_grid_counts_what_walking_it_meets(step: timedelta, after: timedelta, span: int) -> None:
    grid, start, met = Every(NOON, step), NOON + after, 0
    at = grid.next_after(start)
    while at is not None and at <= start + timedelta(seconds=span):
        met, at = met + 1, grid.next_after(at)
    assert grid.count(start, start + timedelta(seconds=span)) == met


def test_a_single_instant_comes_once() -> None:
    once, second = Once(NOON), timedelta(seconds=1)
    assert once.next_after(NOON - second) == NOON
    assert once.next_after(NOON) is None
    assert once.count(NOON - second, NOON) == 1
    assert once.count(NOON, NOON + second) == 0


def test_a_grid_ends_with_time_itself() -> None:
    assert Every(NOON, timedelta(days=200 * 365)).next_after(datetime(9990, 1, 1, tzinfo=UTC)) is None
