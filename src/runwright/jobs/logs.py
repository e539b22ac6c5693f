"""Reading a job's log: chunks as stored, opened into numbered lines."""

from runwright.core.job_state import JobStatus
from runwright.db.pool import Database
from runwright.jobs.model import JobLogs, LogLine
from runwright.jobs.store.read import fetch_log_chunks

_CHUNKS_PER_READ = 50


async def read_logs(
    db: Database, *, job_id: str, job_status: JobStatus, level: str | None, limit: int, after: int
) -> JobLogs:
    """Return up to `limit` lines of the level (None: all) with a seq above `after`, oldest first."""
    lines: list[LogLine] = []
    offset = 0
    while len(lines) <= limit:
        chunks = await fetch_log_chunks(db, job_id=job_id, after=after, limit=_CHUNKS_PER_READ, offset=offset)
        for chunk in chunks:
            lines.extend(
                LogLine(seq=seq, ts=line.ts, level=line.level, msg=line.msg, attempt=chunk.attempt)
                for seq, line in enumerate(chunk.lines, chunk.first_seq)
                if seq > after and level in (None, line.level)
            )
        if len(chunks) < _CHUNKS_PER_READ:
            break
        offset += _CHUNKS_PER_READ
    page = lines[:limit]
    return JobLogs(
        job_id=job_id,
        job_status=job_status,
        logs=page,
        next_after=page[-1].seq if len(lines) > limit else None,
    )
