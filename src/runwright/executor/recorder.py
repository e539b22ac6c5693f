"""Writes what happens to an executor's attempts, log lines and ends, in order.

Everything goes through one queue of group commits, so that a job's log lines are stored before
its end, and nothing of one job overtakes an earlier record of the same job.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from runwright.core.job_state import JobStatus
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.jobs.attempt import AttemptEnd, LogChunk
from runwright.jobs.store.finish import append_logs, finish_attempts

_RETRY_SECONDS: Final = 600.0
"""The database may be away for long; a lost lease ends the attempts earlier."""


class Recorder:
    """The one writer of an executor, under the id of its lease."""

    def __init__(self, db: Database, *, executor_id: str) -> None:
        self._db = db
        self._executor_id = executor_id
        self._batches: Batcher[LogChunk | AttemptEnd, JobStatus | None] = Batcher(
            self._write, max_items=512, retry_seconds=_RETRY_SECONDS
        )

    def record(self, item: LogChunk | AttemptEnd) -> asyncio.Future[JobStatus | None]:
        """Write one item; the future resolves after the commit, for an end with the job's status then."""
        return self._batches.add(item)

    async def stop(self) -> None:
        """Write all that was recorded."""
        await self._batches.stop()

    async def _write(self, items: Sequence[LogChunk | AttemptEnd]) -> Sequence[JobStatus | None]:
        chunks = [i for i in items if isinstance(i, LogChunk)]
        if chunks:
            await append_logs(self._db, executor_id=self._executor_id, chunks=chunks)
        ends = [i for i in items if isinstance(i, AttemptEnd)]
        if not ends:
            return [None] * len(items)
        after = iter(await finish_attempts(self._db, executor_id=self._executor_id, ends=ends))
        return [next(after) if isinstance(i, AttemptEnd) else None for i in items]
