"""Deletes what has served its time, in bounded steps that hold nobody up."""

from typing import Final

from runwright.core.clock import Clock
from runwright.core.notices import Notice
from runwright.db.pool import Database
from runwright.engine.loop import PassLoop
from runwright.jobs.store.submit import forget_idempotency_keys

PAUSE_SECONDS: Final = 60.0
_BATCH: Final = 1000


class Pruner:
    """Forgets idempotency keys that are over a day old. Any number may run."""

    def __init__(self, db: Database, *, clock: Clock, notice: Notice) -> None:
        self._db = db
        self._clock = clock
        self.loop = PassLoop("pruner", self._make_pass, notice=notice)

    async def start(self) -> None:
        """Begin to prune."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop pruning."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        gone = await forget_idempotency_keys(self._db, now=self._clock(), limit=_BATCH)
        return 0.0 if gone == _BATCH else PAUSE_SECONDS
