"""The log lines of a job, as they are stored in chunks."""

from datetime import datetime
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.jobs.model import NULL


class StoredLine(msgspec.Struct, frozen=True, array_like=True):
    """A log line as chunks hold it."""

    ts: datetime
    level: str
    msg: str
    fields: msgspec.Raw = NULL


class StoredChunk(msgspec.Struct, frozen=True):
    """A chunk of log lines as read back."""

    first_seq: int
    attempt: int
    text: msgspec.Raw

    def lines(self) -> list[StoredLine]:
        """Return its lines, decoded."""
        return _decode_lines(self.text)


_decode_lines: Final = msgspec.json.Decoder(list[StoredLine]).decode


async def fetch_log_chunks(
    db: Database, *, job_id: str, after: int, limit: int, offset: int
) -> list[StoredChunk]:
    """Return up to `limit` chunks, oldest first, that hold lines with a seq above `after`."""
    rows = await db.fetch(
        """
        SELECT first_seq, attempt, lines FROM job_log_chunks
        WHERE job_id = $1 AND last_seq > $2 ORDER BY first_seq LIMIT $3 OFFSET $4
        """,
        job_id,
        after,
        limit,
        offset,
    )
    return [StoredChunk(row["first_seq"], row["attempt"], row["lines"]) for row in rows]


async def fetch_last_log_chunks(db: Database, *, job_id: str, before: int, limit: int) -> list[StoredChunk]:
    """Return up to `limit` chunks, newest first, that hold lines with a seq below `before`."""
    rows = await db.fetch(
        """
        SELECT first_seq, attempt, lines FROM job_log_chunks
        WHERE job_id = $1 AND first_seq < $2 ORDER BY first_seq DESC LIMIT $3
        """,
        job_id,
        before,
        limit,
    )
    return [StoredChunk(row["first_seq"], row["attempt"], row["lines"]) for row in rows]
