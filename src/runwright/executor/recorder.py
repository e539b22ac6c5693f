"""Writes what happens to an executor's attempts, log lines, progress and ends, in order.

Everything goes through one queue of group commits, so that a job's log lines are stored before
its end, and nothing of one job overtakes an earlier record of the same job.

An end is held until it is written, refused by the fence, or surely impossible to store: an error of the
database that proves nothing about the end never gives it up, however long it lasts.
"""

import asyncio
import math
from collections.abc import Sequence

from runwright.core.job_state import JobStatus
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.jobs.model import AttemptEnd, LogChunk, ProgressReport
from runwright.jobs.store.finish import append_logs, finish_attempts
from runwright.jobs.store.progress import write_progress
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.executor import JobRecordFailed

AttemptRecord = LogChunk | ProgressReport | AttemptEnd


class Recorder:
    """The one writer of an executor, under the id of its lease."""

    def __init__(self, db: Database, *, executor_id: str, emit: Emit) -> None:
        self._db = db
        self._emit = emit
        self._executor_id = executor_id
        self._batches: Batcher[AttemptRecord, JobStatus | None] = Batcher(
            self._write, max_items=512, retry_seconds=math.inf, size_of=_size_of
        )

    def record(self, item: AttemptRecord) -> asyncio.Future[JobStatus | None]:
        """Write one item; the future resolves after the commit, for an end with the job's status then.

        The status is None where the fence refused the end. Fails only for an item that can never be stored,
        and after `stop`.
        """
        return self._batches.add(item)

    async def stop(self, within_seconds: float) -> None:
        """Write all that was recorded, if that is possible in time."""
        await self._batches.stop(within_seconds)

    async def _write(self, items: Sequence[AttemptRecord]) -> Sequence[JobStatus | None]:
        try:
            return await self._write_once(items)
        except Exception as error:
            self._emit(JobRecordFailed(error=error_text(error)))
            raise

    async def _write_once(self, items: Sequence[AttemptRecord]) -> Sequence[JobStatus | None]:
        chunks = [i for i in items if isinstance(i, LogChunk)]
        if chunks:
            await append_logs(self._db, executor_id=self._executor_id, chunks=chunks)
        if reports := [i for i in items if isinstance(i, ProgressReport)]:
            await write_progress(self._db, executor_id=self._executor_id, reports=reports)
        ends = [i for i in items if isinstance(i, AttemptEnd)]
        if not ends:
            return [None] * len(items)
        after = iter(await finish_attempts(self._db, executor_id=self._executor_id, ends=ends))
        return [next(after) if isinstance(i, AttemptEnd) else None for i in items]


def _size_of(item: AttemptRecord) -> int:
    if isinstance(item, ProgressReport):
        return 0
    if isinstance(item, LogChunk):
        return len(item.lines)
    return len(item.output or b"") + (0 if item.log is None else len(item.log.lines))
