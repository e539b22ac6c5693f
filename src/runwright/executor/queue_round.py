"""A round: claims that together have looked at every queue once."""

from runwright.jobs.store.claim import QueueCursor


class QueueRound:
    """Where the next claim continues, and whether a round is over."""

    def __init__(self) -> None:
        self.cursor = QueueCursor()
        self._seen_whole: set[str] = set()

    def advance(self, cursor: QueueCursor) -> bool:
        """Continue at `cursor`, to which the last claim came; return whether that ended the round.

        The queues of a tenant that has many take several claims; those of other tenants are looked at again
        meanwhile. A tenant is complete once a claim has reached its last queue in this round.
        """
        self._seen_whole |= self.cursor.workers.keys() - cursor.workers.keys()
        over = cursor.tenant is None and cursor.workers.keys() <= self._seen_whole
        self.cursor = QueueCursor() if over else cursor
        if over:
            self._seen_whole = set()
        return over
