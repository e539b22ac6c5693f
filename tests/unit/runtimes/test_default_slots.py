"""How many jobs run at once where nobody has stated it."""

import pytest

from runwright.runtimes.pool.default_slots import HostResources, default_newcomer_slots, default_slots

GIB = 1 << 30


@pytest.mark.parametrize(
    ("processors", "gib", "slots", "newcomers"),
    [
        (2, 24, 8, 32),  # by processors
        (16, 64, 51, 32),  # by memory
        (2, 4, 3, 6),
        (1, 0.5, 2, 4),  # never less
        (64, 512, 256, 32),
    ],
)
def test_they_follow_processors_and_memory(processors: int, gib: float, slots: int, newcomers: int) -> None:
    host = HostResources(processors, int(gib * GIB))
    assert (default_slots(None, host), default_newcomer_slots(None, host)) == (slots, newcomers)


def test_what_is_set_counts() -> None:
    host = HostResources(2, 4 * GIB)
    assert (default_slots(100, host), default_newcomer_slots(0, host)) == (100, 0)
