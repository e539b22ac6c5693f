"""SQL that appends events as a part of the statement that makes them true.

An event that has subscribers is also queued for the router, in the same statement. Subscriptions are read in
the statement's snapshot, so an event that happens after a subscription was committed is never missed. Without
any subscription this costs almost nothing: whether there is one at all is tested once per statement.

Some events are frequent and of interest only while they happen: that a job was queued, that a webhook was
delivered. They are kept where a subscriber gets them, or while the tenant's events are streamed (a row in
event_watches). Those of the second kind (`append_watched_sql`) have no subscribers at all.
"""

from collections.abc import Sequence


def append_sql(source: str, more_columns: Sequence[str] = ()) -> str:
    """Return the CTEs `event` and `routed` of a statement; `source` selects the events' columns.

    The columns are tenant_id, type, subject_id, created_at, data and those of `more_columns`. `routed`
    returns a row per event that was queued for the router.
    """
    columns = ", ".join(("tenant_id", "type", "subject_id", "created_at", "data", *more_columns))
    return f"""event AS (
    -- the events that are appended
    INSERT INTO events ({columns}) {source}
    RETURNING position, tenant_id, type
), routed AS (
    -- those that have a subscriber, queued for the router
    INSERT INTO event_queue (position)
    SELECT position FROM event happened WHERE EXISTS (SELECT FROM subscriptions) AND EXISTS (
        SELECT FROM subscriptions s WHERE s.tenant_id = happened.tenant_id
        AND s.pattern = ANY (ARRAY[happened.type, split_part(happened.type, '.', 1) || '.*', '*'])
    )
    RETURNING position
)"""


def append_watched_sql(source: str) -> str:
    """Return the CTE `watched` of a statement: its events are kept for streams only, and never routed.

    `source` selects tenant_id, type, subject_id, created_at and data.
    """
    return f"""watched AS (
    -- events for streams alone
    INSERT INTO events (tenant_id, type, subject_id, created_at, data)
    SELECT * FROM ({source}) AS happened (tenant_id, type, subject_id, created_at, data)
    WHERE {watched_sql("happened.tenant_id")}
)"""


def has_readers_sql(tenant_column: str, event_type: str) -> str:
    """Return the condition that a type has subscribers or is streamed, for events not always kept."""
    family = event_type.partition(".")[0]
    return f"""(EXISTS (SELECT FROM subscriptions) AND EXISTS (
        SELECT FROM subscriptions s WHERE s.tenant_id = {tenant_column}
        AND s.pattern IN ('{event_type}', '{family}.*', '*')
    ) OR {watched_sql(tenant_column)})"""


def watched_sql(tenant_column: str) -> str:
    """Return the condition that a tenant's events are streamed."""
    return f"""(EXISTS (SELECT FROM event_watches) AND EXISTS (
        SELECT FROM event_watches w WHERE w.tenant_id = {tenant_column}
    ))"""
