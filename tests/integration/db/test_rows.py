"""Rows of a statement that come as one JSON text reach it as they are."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from runwright.core.job_state import JobStatus
from runwright.db.pool import Pool
from runwright.db.rows import Recordset

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


class Item(msgspec.Struct, frozen=True):
    name: str
    number: int | None
    at: datetime | None
    status: JobStatus
    body: bytes | None

    @property
    def later(self) -> datetime | None:
        return None if self.at is None else self.at + timedelta(days=1)


ITEMS = [
    Item("plain", 1, AT, JobStatus.QUEUED, b'{"n": 1,  "n": 2}'),
    Item('quotes " and \\ and \t and é and 🦊', None, None, JobStatus.FAILED, None),
    Item("", -(2**62), AT.replace(microsecond=0), JobStatus.COMPLETED, rb'["\u0000", 1e400]'),
]
COLUMNS = "name text, number bigint, body json, at timestamptz, status text, later timestamptz"
ROWS = Recordset(COLUMNS, start="boolean")


async def read(database: Pool, items: Sequence[Item]) -> list[tuple[object, ...]]:
    names = "name, number, at, status, body, later, start"
    starts = [item.name == "plain" for item in items]
    rows = await database.fetch(
        f"SELECT {names} FROM (SELECT * FROM {ROWS.sql(2)}) AS r WHERE $1::boolean",
        True,
        *ROWS.parameters(items, starts),
    )
    return [tuple(row) for row in rows]


async def test_values_arrive_as_they_are_in_their_order(database: Pool) -> None:
    assert await read(database, ITEMS) == [
        (
            *(item.name, item.number, item.at, item.status),
            None if item.body is None else msgspec.Raw(item.body),
            *(item.later, item.name == "plain"),
        )
        for item in ITEMS
    ]


async def test_no_items_are_no_rows(database: Pool) -> None:
    assert await read(database, []) == []


async def test_the_planner_expects_few_rows(database: Pool) -> None:
    """For many it reads a whole table while that is small, and keeps the plan when it has grown."""
    plan = await database.fetchval(
        f"EXPLAIN SELECT * FROM {ROWS.sql(1)}", *ROWS.parameters(ITEMS, [True] * 3)
    )
    assert " rows=10 " in plan
