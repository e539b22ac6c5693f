"""A job's log: pages of it, and following it while the job runs.

The tables are the buffer between the job and its readers: lines are stored as they come, and each
reader reads them at its own pace, so a slow one delays no other and misses nothing. Notifications
wake a reader; without any, it reads every `LOOK_SECONDS`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import msgspec

from runwright.core.job_state import TERMINAL, JobStatus
from runwright.core.turns import Turns
from runwright.db.pool import Database
from runwright.job_views.model import JobLogs, LogLine
from runwright.job_views.store.log_chunks import StoredLine, fetch_last_log_chunks, fetch_log_chunks
from runwright.jobs.model import JobProgress
from runwright.jobs.notifications import FOLLOW_SECONDS, JobNotifications
from runwright.jobs.store.read import fetch_live_state

LOOK_SECONDS: Final = 1.0
_CHUNKS_PER_READ: Final = 50
LINES_PER_READ: Final = 100
"""How many lines one reader that follows a log has in memory."""

_decode_fields: Final = msgspec.json.Decoder(dict[str, Any] | None).decode


class LogFilter(msgspec.Struct, frozen=True):
    """Which lines of a log; None selects all."""

    level: str | None = None
    text: str | None = None
    """Text in the message, or in `name=value` of a field, in either case."""

    def selects(self, line: StoredLine) -> bool:
        """Return whether a line is one of them."""
        if self.level not in (None, line.level):
            return False
        if self.text is None:
            return True
        text = self.text.casefold()
        return text in line.msg.casefold() or any(text in one.casefold() for one in _fields_of(line))


def _fields_of(line: StoredLine) -> Iterator[str]:
    for name, value in (_decode_fields(line.fields) or {}).items():
        yield f"{name}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"


async def read_logs(
    db: Database, *, job_id: str, job_status: JobStatus, which: LogFilter, limit: int, after: int
) -> JobLogs:
    """Return up to `limit` lines with a seq above `after`, oldest first."""
    lines: list[LogLine] = []
    read_to, turns = after, Turns()
    async for seq, attempt, line in _stored_lines(db, job_id, after, turns):
        if which.selects(line):
            if len(lines) == limit:
                last = lines[-1].seq
                return JobLogs(
                    job_id=job_id, job_status=job_status, logs=lines, next_after=last, read_to=last
                )
            lines.append(LogLine(seq, line.ts, line.level, line.msg, attempt, line.fields))
        read_to = seq
        await turns.between()
    return JobLogs(job_id=job_id, job_status=job_status, logs=lines, next_after=None, read_to=read_to)


async def _stored_lines(
    db: Database, job_id: str, after: int, turns: Turns
) -> AsyncIterator[tuple[int, int, StoredLine]]:
    """Yield the lines of a log with their numbers and attempts."""
    offset = 0
    while True:
        chunks = await fetch_log_chunks(db, job_id=job_id, after=after, limit=_CHUNKS_PER_READ, offset=offset)
        for chunk in chunks:
            await turns.between()
            for seq, line in chunk.lines(after):
                yield seq, chunk.attempt, line
        if len(chunks) < _CHUNKS_PER_READ:
            return
        offset += _CHUNKS_PER_READ


async def read_last_logs(
    db: Database, *, job_id: str, job_status: JobStatus, which: LogFilter, limit: int, before: int
) -> JobLogs:
    """Return the last `limit` lines with a seq below `before`, oldest first."""
    lines: list[LogLine] = []
    more, turns = False, Turns()
    async for seq, attempt, line in _stored_lines_backwards(db, job_id, before, turns):
        if which.selects(line):
            more = len(lines) == limit
            if more:
                break
            lines.append(LogLine(seq, line.ts, line.level, line.msg, attempt, line.fields))
        await turns.between()
    page = lines[::-1]
    return JobLogs(
        job_id=job_id,
        job_status=job_status,
        logs=page,
        next_after=None,
        next_before=page[0].seq if more else None,
    )


async def _stored_lines_backwards(
    db: Database, job_id: str, before: int, turns: Turns
) -> AsyncIterator[tuple[int, int, StoredLine]]:
    """Yield the lines of a log below a number, the last one first, with their numbers and attempts."""
    end = before
    while True:
        chunks = await fetch_last_log_chunks(db, job_id=job_id, before=end, limit=_CHUNKS_PER_READ)
        for chunk in chunks:
            await turns.between()
            for seq, line in chunk.lines_backwards(before):
                yield seq, chunk.attempt, line
        if len(chunks) < _CHUNKS_PER_READ:
            return
        end = chunks[-1].first_seq


class TailEnd(msgspec.Struct, frozen=True):
    """The job has ended, and all of its lines were yielded."""

    job_id: str
    job_status: JobStatus


TailPart = list[LogLine] | JobProgress | TailEnd
"""New lines (an empty list: none came for a while), what the handler reports of its progress, or the end."""


async def tail_log(
    db: Database,
    notifications: JobNotifications,
    *,
    tenant_id: str,
    job_id: str,
    which: LogFilter,
    after: int,
    over: Callable[[], bool],
) -> AsyncIterator[TailPart]:
    """Yield the lines after the one numbered `after` as they come, then the end; return once `over()`.

    The progress of the latest attempt is yielded first where there is any, and whenever it has changed.
    """
    loop = asyncio.get_running_loop()
    follow_at = 0.0
    progress: JobProgress | None = None
    with notifications.watching(job_id) as watch:
        while not over():
            watch.woken.clear()
            # The status is read before the lines: all lines of a job that has ended are stored.
            state = await fetch_live_state(db, tenant_id=tenant_id, job_id=job_id)
            if state is None:
                return
            if state.progress not in {None, progress}:
                yield state.progress
            progress = state.progress
            more = True
            while more:
                page = await read_logs(
                    db,
                    job_id=job_id,
                    job_status=state.status,
                    which=which,
                    limit=LINES_PER_READ,
                    after=after,
                )
                after = page.read_to
                more = page.next_after is not None
                yield page.logs
            if state.status in TERMINAL:
                yield TailEnd(job_id, state.status)
                return
            if loop.time() >= follow_at:
                notifications.follow(job_id)
                follow_at = loop.time() + FOLLOW_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await watch.woken.wait()
