"""When claims have looked at every queue."""

from collections.abc import Sequence

import pytest

from runwright.executor.queue_round import QueueRound
from runwright.jobs.store.claim import QueueCursor

WINDOW = 4


def look(queues: dict[str, int], cursor: QueueCursor, *, tenants: int) -> tuple[set[str], QueueCursor]:
    """Return the queues that a claim looks at and where it comes to; a tenant has queues 0 to n - 1."""
    every = sorted(queues)
    window = [one for one in every if one > (cursor.tenant or "")][:tenants]
    last = window[-1] if len(window) == tenants and window[-1] != every[-1] else None
    places = {one: iter(range(int(cursor.workers.get(one, "-1")) + 1, queues[one])) for one in window}
    seen: list[tuple[str, int]] = []
    while len(seen) < WINDOW and (
        row := [(one, n) for one in window for n in [next(places[one], None)] if n is not None]
    ):
        seen += row[: WINDOW - len(seen)]
    workers = {one: place for one, place in cursor.workers.items() if one not in window}
    reached = dict(seen)
    workers |= {one: str(n) for one, n in reached.items() if n < queues[one] - 1}
    return {f"{one}/{n}" for one, n in seen}, QueueCursor(last, workers)


@pytest.mark.parametrize(
    "queues", [[1], [0], [4], [5], [17], [1, 9], [9, 11, 1], [3, 3, 3, 3], [40, 1, 7, 1]]
)
@pytest.mark.parametrize("tenants", [1, 2, 4])
def test_a_round_sees_every_queue_and_ends(queues: Sequence[int], tenants: int) -> None:
    counts = {f"ten_{n}": count for n, count in enumerate(queues)}
    every = {f"{tenant}/{n}" for tenant, count in counts.items() for n in range(count)}
    rounds = QueueRound()
    for _ in range(3):
        seen: set[str] = set()
        for _ in range(200):
            looked_at, cursor = look(counts, rounds.cursor, tenants=tenants)
            seen |= looked_at
            if rounds.advance(cursor):
                break
        else:
            pytest.fail("the round never ends")
        assert seen == every
        assert rounds.cursor == QueueCursor(), "the next round begins at the first queue of each"
