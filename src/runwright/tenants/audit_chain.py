"""The chain of the audit log, so that no entry can be changed, removed or moved without a trace.

Each entry has the hash of itself and of the entry before. Its states: written, in the transaction of what it
records (`position` null) → chained, by a loop in some process, a few seconds later at most → deleted, oldest
first, when its retention is over. Writers do not wait for one another, and entries of an earlier release are
chained like all others. One process at a time adds to the chain or deletes from its start: it holds the only
row of `audit_chain`, which names both ends.

The hash is SHA-256 of the entry as JSON with sorted keys, without spaces and without `hash`; the field
`previous` has the hash of the entry before. It needs no key: who can write to the database can make the whole
chain anew, but not one whose hash at a position is the one that was noted elsewhere (`head`).

Not protected: what is deleted before it is chained.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.ids import floor_id
from runwright.db.pool import Database, PoolConnection
from runwright.tenants.audit import AuditEntry

_FIELDS: Final = AuditEntry.__struct_fields__
_COLUMNS: Final = ", ".join(_FIELDS)
_FETCHED_ROWS: Final = 1000
_MOST_SHOWN: Final = 100
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class ChainedEntry(AuditEntry, frozen=True, kw_only=True):
    """An entry with its place in the chain; the hashes are in hex, `previous` is empty for the first."""

    position: int
    previous: str = ""
    hash: str

    def computed(self, previous: str) -> str:
        """Return the hash that it must have after an entry with the hash `previous`."""
        fields = {name: getattr(self, name) for name in (*_FIELDS, "position")}
        return hashlib.sha256(_encode(fields | {"previous": previous})).hexdigest()


class ChainEnds(msgspec.Struct, frozen=True, kw_only=True):
    """The last entry of the chain, and the last that retention deleted; 0 and an empty hash for none."""

    position: int
    hash: str
    deleted_position: int = 0
    deleted_hash: str = ""


class ChainFinding(msgspec.Struct, frozen=True):
    """Something wrong with the chain, at a position."""

    position: int
    problem: str


class ChainCheck:
    """Checks entries in the order of their positions, in constant memory."""

    def __init__(self, ends: ChainEnds | None = None, noted: ChainEnds | None = None) -> None:
        """`ends`: those in the database; None for an export. `noted`: a head that was kept elsewhere."""
        self._ends = ends
        self._noted = noted
        self._previous: str | None = ends.deleted_hash if ends else None
        self._expected = ends.deleted_position + 1 if ends else None
        self._noted_seen = False
        self.checked = 0
        self.problems = 0
        self.last = ChainEnds(position=0, hash="")
        self.findings: list[ChainFinding] = []
        """The first hundred."""

    def take(self, entry: ChainedEntry) -> None:
        """Check the next entry."""
        if self._expected is None:
            self._previous = entry.previous
        elif entry.position != self._expected:
            self._find(self._expected, _gap(self._expected, entry.position))
            self._previous = None
        if self._previous is not None and entry.computed(self._previous) != entry.hash:
            self._find(entry.position, f"{entry.id} is not what was written")
        self._compare_noted(entry.position, entry.hash)
        self._previous, self._expected = entry.hash, entry.position + 1
        self.last = ChainEnds(position=entry.position, hash=entry.hash)
        self.checked += 1

    def finish(self) -> None:
        """Check the end of the chain, after the last entry."""
        if self._ends is not None:
            self._compare_end(self._ends)
        if self._noted is not None and not self._noted_seen:
            self._compare_missing(self._noted)

    def _compare_end(self, ends: ChainEnds) -> None:
        if self._expected is not None and ends.position >= self._expected:
            self._find(self._expected, _gap(self._expected, ends.position + 1))
        elif self.checked and (self.last.position, self.last.hash) != (ends.position, ends.hash):
            self._find(self.last.position, "the chain ends with another entry")

    def _compare_noted(self, position: int, found: str) -> None:
        if self._noted is not None and self._noted.position == position:
            self._noted_seen = True
            if found != self._noted.hash:
                self._find(position, "the hash is not the one that was noted: the chain was made anew")

    def _compare_missing(self, noted: ChainEnds) -> None:
        if self._ends is None or noted.position > self._ends.deleted_position:
            self._find(noted.position, "the entry whose hash was noted is missing")
        elif noted.position == self._ends.deleted_position and noted.hash != self._ends.deleted_hash:
            self._find(noted.position, "the hash is not the one that was noted: the chain was made anew")

    def _find(self, position: int, problem: str) -> None:
        self.problems += 1
        if len(self.findings) < _MOST_SHOWN:
            self.findings.append(ChainFinding(position, problem))


def _gap(first: int, following: int) -> str:
    if following - first == 1:
        return "the entry is missing"
    return f"the entries up to {following - 1} are missing" if following > first else "the order is wrong"


async def chain_entries(db: Database, *, limit: int) -> int:
    """Add up to `limit` entries to the chain; return how many. 0 also while another process does."""
    if not await db.fetchval("SELECT EXISTS (SELECT FROM audit_log WHERE position IS NULL)"):
        return 0
    async with db.acquire() as connection, connection.transaction():
        ends = await _lock_ends(connection)
        if ends is None:
            return 0
        rows = await connection.fetch(
            f"SELECT {_COLUMNS} FROM audit_log WHERE position IS NULL ORDER BY id LIMIT $1",  # noqa: S608
            limit,
        )
        if rows:
            await _store(connection, list(_linked(rows, ends)))
        return len(rows)


async def _lock_ends(connection: PoolConnection) -> ChainEnds | None:
    await connection.execute("INSERT INTO audit_chain DEFAULT VALUES ON CONFLICT DO NOTHING")
    row = await connection.fetchrow(f"{_ENDS} FOR UPDATE SKIP LOCKED")
    return None if row is None else _ends(row)


def _linked(rows: list[Record], ends: ChainEnds) -> Iterator[ChainedEntry]:
    previous = ends.hash
    for position, row in enumerate(rows, ends.position + 1):
        entry = _entry(row, position=position, previous=previous, hash="")
        previous = entry.computed(previous)
        yield msgspec.structs.replace(entry, hash=previous)


async def _store(connection: PoolConnection, entries: list[ChainedEntry]) -> None:
    await connection.execute(
        """
        UPDATE audit_log SET position = new.position, hash = decode(new.hash, 'hex')
        FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (id, position, hash)
        WHERE audit_log.id = new.id
        """,
        [entry.id for entry in entries],
        [entry.position for entry in entries],
        [entry.hash for entry in entries],
    )
    await connection.execute(
        "UPDATE audit_chain SET position = $1, hash = decode($2, 'hex')",
        entries[-1].position,
        entries[-1].hash,
    )


async def prune_entries(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` entries older than a time from the start of the chain; return how many."""
    await chain_entries(db, limit=limit)
    async with db.acquire() as connection, connection.transaction():
        if await _lock_ends(connection) is None:
            return 0
        return int(await connection.fetchval(_PRUNE, floor_id("aud", before), limit))


_ENDS: Final = """
SELECT position, encode(hash, 'hex') AS hash, deleted_position, encode(deleted_hash, 'hex') AS deleted_hash
FROM audit_chain
"""
_PRUNE: Final = """
WITH oldest AS (  -- in the order of the chain
    SELECT id, position, hash FROM audit_log WHERE position IS NOT NULL ORDER BY position LIMIT $2
), kept AS (  -- the first that is to stay
    SELECT min(position) AS position FROM oldest WHERE id >= $1
), expired AS (  -- those before it
    SELECT oldest.* FROM oldest, kept WHERE kept.position IS NULL OR oldest.position < kept.position
), gone AS (  -- what is deleted
    DELETE FROM audit_log WHERE id IN (SELECT id FROM expired) RETURNING 1
), moved AS (  -- the start of the chain
    UPDATE audit_chain SET deleted_position = last.position, deleted_hash = last.hash
    FROM (SELECT position, hash FROM expired ORDER BY position DESC LIMIT 1) AS last
)
SELECT count(*) FROM gone
"""


async def read_ends(connection: PoolConnection) -> ChainEnds:
    """Return both ends of the chain."""
    row = await connection.fetchrow(_ENDS)
    return ChainEnds(position=0, hash="") if row is None else _ends(row)


async def count_unchained(connection: PoolConnection) -> int:
    """Return how many entries are not in the chain yet."""
    return int(await connection.fetchval("SELECT count(*) FROM audit_log WHERE position IS NULL"))


async def read_chain(connection: PoolConnection, *, after: int = 0) -> AsyncIterator[ChainedEntry]:
    """Yield the entries in the order of the chain, in a transaction of the caller."""
    rows = connection.cursor(
        f"""
        SELECT {_COLUMNS}, position, encode(hash, 'hex') AS hash FROM audit_log
        WHERE position > $1 ORDER BY position
        """,  # noqa: S608  constants
        after,
        prefetch=_FETCHED_ROWS,
    )
    previous = (await read_ends(connection)).deleted_hash if after == 0 else await _hash_at(connection, after)
    async for row in rows:
        entry = _entry(row, previous=previous)
        previous = entry.hash
        yield entry


async def _hash_at(connection: PoolConnection, position: int) -> str:
    found = await connection.fetchval(
        "SELECT encode(hash, 'hex') FROM audit_log WHERE position = $1", position
    )
    return found or ""


def _ends(row: Record) -> ChainEnds:
    return ChainEnds(**dict(row))


def _entry(row: Record, **others: object) -> ChainedEntry:
    values = dict(row) | others
    for name in ("before_hash", "after_hash"):
        values[name] = None if values[name] is None else values[name].hex()
    return ChainedEntry(**values)
