"""How long a pruner rests: its share of the time is small, and larger where it never catches up."""

import pytest

from runwright.loops.pruning_pace import (
    LATE_SECONDS,
    LATE_SHARE,
    LONGEST_REST_SECONDS,
    SHARE,
    SHORTEST_REST_SECONDS,
    PruningPace,
)

START = 1000.0


@pytest.mark.parametrize("took", [0.02, 0.1, 1.0])
def test_a_backlog_is_deleted_in_a_small_share_of_the_time(took: float) -> None:
    rest = PruningPace().rest(took, START)
    assert took / (took + rest) == pytest.approx(SHARE)


def test_a_rest_is_neither_too_short_nor_too_long() -> None:
    pace = PruningPace()
    assert pace.rest(0.0, START) == SHORTEST_REST_SECONDS
    assert pace.rest(100.0, START) == LONGEST_REST_SECONDS


def test_a_backlog_that_stays_is_deleted_faster_until_none_is_left() -> None:
    pace = PruningPace()
    first = pace.rest(0.1, START)
    assert pace.rest(0.1, START + LATE_SECONDS - 1) == first
    late = pace.rest(0.1, START + LATE_SECONDS)
    assert 0.1 / (0.1 + late) == pytest.approx(LATE_SHARE)
    pace.caught_up()
    assert pace.rest(0.1, START + LATE_SECONDS) == first
