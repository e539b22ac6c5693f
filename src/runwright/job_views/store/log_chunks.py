"""The log lines of a job, as they are stored in chunks."""

from collections.abc import Iterator
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

    def lines(self, after: int) -> Iterator[tuple[int, StoredLine]]:
        """Yield the lines with a seq above `after`, decoded one at a time: a chunk may have thousands."""
        skipped = max(after + 1 - self.first_seq, 0)
        raws = _split_lines(self.text)[skipped:]
        return ((seq, _decode_line(raw)) for seq, raw in enumerate(raws, self.first_seq + skipped))

    def lines_backwards(self, before: int) -> Iterator[tuple[int, StoredLine]]:
        """Yield the lines with a seq below `before`, the last one first."""
        raws = _split_lines(self.text)[: max(before - self.first_seq, 0)]
        last = self.first_seq + len(raws) - 1
        return ((last - back, _decode_line(raw)) for back, raw in enumerate(reversed(raws)))


_split_lines: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_line: Final = msgspec.json.Decoder(StoredLine).decode


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
