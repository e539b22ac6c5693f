"""The SQL of jobs: one function per verb, each one transaction, each guarded by the state it expects."""

from collections.abc import Sequence

import msgspec


def columns_of(items: Sequence[msgspec.Struct], fields: int) -> Sequence[tuple[object, ...]]:
    """Return the values of structs by column, in the order of their fields, for `unnest`."""
    return list(zip(*map(msgspec.structs.astuple, items), strict=True)) if items else [()] * fields
