"""Appending events, as a part of the statement that makes them true.

An event that somebody wants is also queued for the router, in the same statement. Who wants it is
asked of `subscriptions` as the statement sees it, so an event that happens after a subscription
was committed is never missed. Where nobody subscribes to anything this costs next to nothing: the
question of whether there is any subscription at all is asked once per statement.
"""

from collections.abc import Sequence


def appended(source: str, more_columns: Sequence[str] = ()) -> str:
    """Return the parts `event` and `heard` of a statement; `source` selects the events' columns.

    The columns are tenant_id, type, subject_id, created_at, data and those of `more_columns`. `heard`
    returns a row per event that was queued.
    """
    columns = ", ".join(("tenant_id", "type", "subject_id", "created_at", "data", *more_columns))
    return f"""event AS (
    INSERT INTO events ({columns}) {source}
    RETURNING position, tenant_id, type
), heard AS (
    INSERT INTO event_queue (position)
    SELECT position FROM event happened WHERE EXISTS (SELECT FROM subscriptions) AND EXISTS (
        SELECT FROM subscriptions s WHERE s.tenant_id = happened.tenant_id
        AND s.pattern = ANY (ARRAY[happened.type, split_part(happened.type, '.', 1) || '.*', '*'])
    )
    RETURNING position
)"""


def wanted(tenant_column: str, event_type: str) -> str:
    """Return the condition that somebody wants events of this type: for facts nobody else needs to keep."""
    family = event_type.partition(".")[0]
    return f"""EXISTS (SELECT FROM subscriptions) AND EXISTS (
        SELECT FROM subscriptions s WHERE s.tenant_id = {tenant_column}
        AND s.pattern IN ('{event_type}', '{family}.*', '*')
    )"""
