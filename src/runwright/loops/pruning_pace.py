"""How fast a backlog of expired rows is deleted: beside the work of others, which it must not slow down."""

from typing import Final

SHARE: Final = 0.1
"""The part of the time in which the database deletes, while there is a backlog."""

LATE_SHARE: Final = 0.5
LATE_SECONDS: Final = 3600.0
"""A backlog that is this old grows faster than the first share deletes it."""

SHORTEST_REST_SECONDS: Final = 0.05
LONGEST_REST_SECONDS: Final = 10.0


class PruningPace:
    """The rests of a pruner between two deletions of a backlog."""

    def __init__(self) -> None:
        self._behind_since: float | None = None

    def rest(self, took_seconds: float, now: float) -> float:
        """Return how long to rest after a deletion that left more to delete; `now` is monotonic."""
        if self._behind_since is None:
            self._behind_since = now
        share = LATE_SHARE if now - self._behind_since >= LATE_SECONDS else SHARE
        rest = took_seconds * (1 / share - 1)
        return min(max(rest, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS)

    def caught_up(self) -> None:
        """Note that nothing is left to delete."""
        self._behind_since = None
