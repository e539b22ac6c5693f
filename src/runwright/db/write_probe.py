"""Whether the database can be written to, for `/readyz`: it answers, is no standby, and its disk has space.

The probe writes a megabyte that does not stay: rows that exceed `work_mem` go to a temporary file beside
the data, which fails on a full disk, and a message without a reader goes to the write-ahead log and is
flushed there. No table is involved, so nothing has to be vacuumed, locked or migrated.
"""

import asyncio
from typing import Final

from runwright.db.availability import Availability
from runwright.db.connection import BoundedConnection, StatementClass
from runwright.db.pool import connect

ANSWER_SECONDS: Final = 1.75
FRESH_SECONDS: Final = 0.5
"""How long a result is used again: probes of several load balancers cost one statement."""

_PROBE: Final = StatementClass("probe", 1.5)
_ROWS: Final = 40_000
_SQL: Final = """
SELECT current_setting('transaction_read_only') = 'on' OR pg_is_in_recovery() AS read_only,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_logical_emit_message(true, 'runwright', 'probe') END,
    (SELECT count(*) FROM generate_series(1, $1))
"""


class WriteProbe:
    """Has a connection of its own, from its first use on, so that no load on the pools matters."""

    def __init__(self, dsn: str, availability: Availability) -> None:
        self._dsn = dsn
        self._availability = availability
        self._connection: BoundedConnection | None = None
        self._probing: asyncio.Task[str | None] | None = None
        self._problem: str | None = None
        self._fresh_until = 0.0

    async def problem(self) -> str | None:
        """Return why nothing can be written, or None; within `ANSWER_SECONDS`, and never raises."""
        if not self._availability:
            return "the database does not answer"
        if asyncio.get_running_loop().time() < self._fresh_until:
            return self._problem
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(), name="write-probe")
        return await asyncio.shield(self._probing)

    async def close(self) -> None:
        """Close the connection."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})
        self._drop()

    async def _probe(self) -> str | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._problem = await self._write()
        except Exception as error:  # noqa: BLE001  whatever it is, nothing can be written
            self._drop()
            self._problem = type(error).__name__
        self._fresh_until = asyncio.get_running_loop().time() + FRESH_SECONDS
        return self._problem

    async def _write(self) -> str | None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._dsn, application_name="runwright-probe", within_seconds=0, statement_class=_PROBE
            )
            await self._connection.execute("SET work_mem = '64kB'")
        row = await self._connection.fetchrow(_SQL, _ROWS)
        return "the database is read-only" if row is None or row["read_only"] else None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
        self._connection = None
