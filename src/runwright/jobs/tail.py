"""Following a job's log while it runs.

The tables are the buffer between the job and its readers: lines are stored as they come, and a
reader takes them from there at its own pace, so a slow one holds nobody up and misses nothing.
Hints say when to look; without any, a reader looks every `LOOK_SECONDS`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from runwright.core.job_state import TERMINAL, JobStatus
from runwright.db.pool import Database
from runwright.jobs.logs import read_logs
from runwright.jobs.model import LogLine
from runwright.jobs.notifications import FOLLOW_SECONDS, JobNotifications
from runwright.jobs.store.read import fetch_status

LOOK_SECONDS: Final = 1.0
_LINES_PER_READ: Final = 500


class TailEnd(msgspec.Struct, frozen=True):
    """The job has ended, and every line of it was given."""

    job_id: str
    job_status: JobStatus


TailPart = list[LogLine] | TailEnd
"""New lines (none: nothing came for a while), or the end."""


async def tail_log(
    db: Database,
    signals: JobNotifications,
    *,
    tenant_id: str,
    job_id: str,
    level: str | None,
    after: int,
    over: Callable[[], bool],
) -> AsyncIterator[TailPart]:
    """Give the lines after a number as they come, then the end; stop short when `over` says so."""
    loop = asyncio.get_running_loop()
    follow_at = 0.0
    with signals.watching(job_id) as watch:
        while not over():
            watch.woken.clear()
            # The state before the lines: those of a job that has ended are all there then.
            status = await fetch_status(db, tenant_id=tenant_id, job_id=job_id)
            if status is None:
                return
            more = True
            while more:
                page = await read_logs(
                    db, job_id=job_id, job_status=status, level=level, limit=_LINES_PER_READ, after=after
                )
                after = page.logs[-1].seq if page.logs else after
                more = page.next_after is not None
                yield page.logs
            if status in TERMINAL:
                yield TailEnd(job_id, status)
                return
            if loop.time() >= follow_at:
                signals.follow(job_id)
                follow_at = loop.time() + FOLLOW_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await watch.woken.wait()
