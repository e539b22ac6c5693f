"""Writes what happens to an executor's jobs: log lines, endings and hand-backs, in order.

All of it goes through one lane of group commit, so that a job's log lines are stored before
its ending, and nothing of one job overtakes another thing of the same job.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.job_state import JobStatus
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.jobs.store.finish import (
    Ended,
    Ending,
    LogChunk,
    append_logs,
    finish_jobs,
    hand_back_jobs,
)

_RETRY_SECONDS: Final = 600.0
"""The database may be away for long; a lost lease ends the matter earlier."""


class HandBack(msgspec.Struct, frozen=True):
    """A claimed job whose user code never began; where its cancel was asked for, it ends cancelled."""

    tenant_id: str
    job_id: str
    fence: int
    now: datetime

    def cancelled(self) -> Ending:
        """Return the ending it gets when it cannot go back."""
        return Ending(
            tenant_id=self.tenant_id,
            job_id=self.job_id,
            fence=self.fence,
            status=JobStatus.CANCELLED,
            started_at=None,
            ended_at=self.now,
            output=None,
            error=None,
            retry_at=None,
            chunk=None,
        )


Record = LogChunk | Ending | HandBack


class Recorder:
    """The one writer of an executor; `executor_id` may change when a lease was lost."""

    def __init__(self, db: Database, *, executor_id: str) -> None:
        self._db = db
        self.executor_id = executor_id
        self._batches: Batcher[Record, Ended | None] = Batcher(
            self._write, max_items=512, retry_seconds=_RETRY_SECONDS
        )

    def record(self, what: Record) -> asyncio.Future[Ended | None]:
        """Write one thing; the future resolves after the commit, for an ending with what became of it."""
        return self._batches.add(what)

    async def stop(self) -> None:
        """Write all that was recorded."""
        await self._batches.stop()

    async def _write(self, items: Sequence[Record]) -> Sequence[Ended | None]:
        chunks = [i for i in items if isinstance(i, LogChunk)]
        if chunks:
            await append_logs(self._db, executor_id=self.executor_id, chunks=chunks)
        endings = [i for i in items if isinstance(i, Ending)]
        backs = [i for i in items if isinstance(i, HandBack)]
        if backs:
            keys = [(b.tenant_id, b.job_id, b.fence) for b in backs]
            gone = await hand_back_jobs(self._db, executor_id=self.executor_id, jobs=keys)
            endings += [b.cancelled() for b in backs if b.job_id not in gone]
        if not endings:
            return [None] * len(items)
        ended = iter(await finish_jobs(self._db, executor_id=self.executor_id, endings=endings))
        return [next(ended) if isinstance(i, Ending) else None for i in items]
