"""Rows of tables as structs whose fields are named like the columns."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, TypeVar, get_args

import msgspec
from asyncpg import Record

from runwright.db.pool import Database, PoolConnection

S = TypeVar("S", bound=msgspec.Struct)

_encode: Final = msgspec.json.Encoder().encode

_FEW: Final = "LIMIT (SELECT NULL::bigint)"
"""No limit, but the planner does not know that, and expects a tenth of the 100 rows that it takes JSON for.

For 100 rows it would read a table whole that is small while the plan is made, and also when it has grown.
"""


@cache
def _converted_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any, bool], ...]:
    """Return the name and type of each field, and whether it has a default; the type of raw JSON is None."""
    return tuple(
        (
            field.name,
            None if msgspec.Raw in (field.type, *get_args(field.type)) else field.type,
            not field.required,
        )
        for field in msgspec.structs.fields(kind)
    )


def struct_from_row(kind: type[S], row: Record, **others: object) -> S:
    """Return a struct with the values of a row, and `others` for fields without a column.

    Text becomes the enum of its field, and JSON the type of its field. A field that has a default may be
    NULL or have no column.
    """
    values = dict(others)
    for name, field_type, optional in _converted_fields(kind):
        if name in others:
            continue
        value = row.get(name) if optional else row[name]
        if value is None and optional:
            continue
        if field_type is None:
            values[name] = value
        elif isinstance(value, msgspec.Raw):
            values[name] = msgspec.json.decode(value, type=field_type)
        else:
            values[name] = msgspec.convert(value, field_type)
    return kind(**values)


def column_list(kind: type[msgspec.Struct], alias: str = "", *, without: Collection[str] = ()) -> str:
    """Return the columns of a struct's fields, for SELECT."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + name for name in kind.__struct_fields__ if name not in without)


def row_of(value: msgspec.Struct, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of a struct by column."""
    return {name: getattr(value, name) for name in value.__struct_fields__ if name not in without}


def columns_of(items: Sequence[msgspec.Struct], fields: int) -> Sequence[tuple[object, ...]]:
    """Return the values of structs by column, in the order of their fields, for `unnest`."""
    return list(zip(*map(msgspec.structs.astuple, items), strict=True)) if items else [()] * fields


class Recordset:
    """Rows that a statement reads of one JSON text, and of an array for each column that is JSON itself.

    An array for each column costs the driver a microsecond for each value, and most values are NULL.
    """

    def __init__(self, definitions: str, **more: str) -> None:
        """`definitions`: attributes with their SQL types, as in `id text, jobs integer`; separated by commas.

        `more`: the types of columns with values beside the items.
        """
        columns = dict(one.split() for one in definitions.split(","))
        self._types = {name: kind for name, kind in {**columns, **more}.items() if kind != "json"}
        self._raw = [name for name, kind in columns.items() if kind == "json"]
        self._attributes = attrgetter(*(name for name, kind in columns.items() if kind != "json"))
        fields = [(name, object, None) for name in self._types]
        self._row = msgspec.defstruct("Row", fields, omit_defaults=True)

    def sql(self, parameter: int) -> str:
        """Return what FROM names `i`; its parameters begin with this one."""
        types = ", ".join(f"{name} {kind}" for name, kind in self._types.items())
        names = ", ".join((*self._types, *self._raw))
        arrays = "".join(f", unnest(${parameter + 1 + n}::json[])" for n in range(len(self._raw)))
        rows = f"ROWS FROM (json_to_recordset(${parameter}::json) AS ({types}){arrays}) AS i ({names})"
        return f"(SELECT * FROM {rows} {_FEW}) AS i"

    def parameters(self, items: Sequence[object], *more: Sequence[object]) -> list[object]:
        """Return the values of the statement's parameters; `more`: of the further columns."""
        others = zip(*more, strict=True) if more else repeat(())
        rows = [
            self._row(*self._attributes(item), *other) for item, other in zip(items, others, strict=False)
        ]
        return [_encode(rows), *([getattr(item, name) for item in items] for name in self._raw)]


async def insert_row(
    db: Database | PoolConnection, table: str, row: Mapping[str, object], conflict: str = ""
) -> bool:
    """Insert a row; return whether it was. `conflict`: for instance `ON CONFLICT DO NOTHING`."""
    parameters = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    inserted = await db.fetchval(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({parameters}) {conflict} RETURNING true",
        *row.values(),
    )
    return inserted is not None


async def update_row(
    db: Database | PoolConnection, table: str, row: Mapping[str, object], **computed: str
) -> None:
    """Update the row with this `id`. `computed`: SQL for further columns, with {name} for new values."""
    parameters = {name: f"${n}" for n, name in enumerate(row, 1)}
    changes = parameters | {name: sql.format_map(parameters) for name, sql in computed.items()}
    assignments = ", ".join(f"{name} = {value}" for name, value in changes.items() if name != "id")
    await db.execute(f"UPDATE {table} SET {assignments} WHERE id = {parameters['id']}", *row.values())


_LONGEST_MS: Final = 2**31 - 1


def duration_ms(started_at: str, ended_at: str) -> str:
    """Return SQL for the time between two in milliseconds, within its column whatever the clock did."""
    milliseconds = f"round(extract(epoch FROM {ended_at} - {started_at}) * 1000)"
    # of nulls, greatest() would make a zero
    bounded = f"least(greatest({milliseconds}, 0), {_LONGEST_MS})::integer"
    return f"CASE WHEN {started_at} IS NOT NULL THEN {bounded} END"
