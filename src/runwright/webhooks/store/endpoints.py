"""The SQL of webhook endpoints and their secrets."""

from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest, View, Window
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row, update_row
from runwright.secrets.encrypted_columns import EncryptedColumn
from runwright.secrets.model import EncryptedValue
from runwright.webhooks.model import WebhookEndpoint

_COLUMNS: Final = column_list(WebhookEndpoint)
ENDPOINTS: Final = EncryptedColumn(
    owners="endpoints",
    secrets="endpoint_secrets",
    owner_column="endpoint_id",
    disable="status = 'paused', status_reason = lost.reason",
)
_LISTED: Final = Rows(columns=_COLUMNS, table="endpoints")
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('endpoints of ' || $1, 0))"


def _endpoint(row: Record) -> WebhookEndpoint:
    return struct_from_row(WebhookEndpoint, row)


async def insert_endpoint(db: PoolConnection, endpoint: WebhookEndpoint, *, most: int) -> bool:
    """Insert an endpoint; False where the tenant already has `most`.

    It counts as slow (`strained`) until an attempt has succeeded in time, so that a slow one never gets many
    connections. A lock serializes a tenant's inserts, so that concurrent ones cannot exceed the limit.
    """
    await db.execute(_LOCK, endpoint.tenant_id)
    if await db.fetchval("SELECT count(*) FROM endpoints WHERE tenant_id = $1", endpoint.tenant_id) >= most:
        return False
    return await insert_row(db, "endpoints", row_of(endpoint) | {"strained": True})


async def fetch_endpoint(
    db: Database | PoolConnection, *, tenant_id: str, style: str, endpoint_id: str, lock: bool = False
) -> WebhookEndpoint | None:
    """Return an endpoint of the tenant; `lock` holds its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM endpoints WHERE tenant_id = $1 AND style = $2 AND id = $3"
        + (" FOR UPDATE" if lock else ""),
        tenant_id,
        style,
        endpoint_id,
    )
    return None if row is None else _endpoint(row)


async def list_endpoints(
    db: Database, *, tenant_id: str, style: str, page: PageRequest
) -> Listing[WebhookEndpoint]:
    """Return a page of the tenant's endpoints of a style, newest first."""
    where = Conditions("tenant_id = $1 AND style = $2", tenant_id, style)
    return (await fetch_page(db, _LISTED, where, page)).map(_endpoint)


async def view_endpoints(
    db: Database, *, tenant_id: str, style: str, window: Window
) -> View[WebhookEndpoint]:
    """Return a window of the tenant's endpoints of a style."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM endpoints WHERE tenant_id = $1 AND style = $2"
        " AND ($3::text IS NULL OR id < $3) AND ($4::text IS NULL OR id > $4)"
        f" ORDER BY id {window.order} LIMIT $5",
        tenant_id,
        style,
        window.older_than,
        window.newer_than,
        window.limit + 1,
    )
    return View.of([_endpoint(row) for row in rows], window)


async def update_endpoint(db: PoolConnection, endpoint: WebhookEndpoint) -> None:
    """Update an endpoint that the transaction has locked."""
    await update_row(db, "endpoints", row_of(endpoint), strained="strained OR url <> {url}")


async def delete_endpoint(db: PoolConnection, *, tenant_id: str, style: str, endpoint_id: str) -> bool:
    """Delete an endpoint and its secrets; False where there is none. The pruner deletes its deliveries."""
    deleted = await db.fetchval(
        "DELETE FROM endpoints WHERE tenant_id = $1 AND style = $2 AND id = $3 RETURNING true",
        tenant_id,
        style,
        endpoint_id,
    )
    return deleted is not None


async def add_secret(
    db: PoolConnection, *, endpoint_id: str, secret: EncryptedValue, old_until: datetime | None
) -> None:
    """Add the secret that signs first from now on; older ones expire at `old_until` (None: now)."""
    await db.execute(
        "DELETE FROM endpoint_secrets WHERE endpoint_id = $1"
        " AND ($2::timestamptz IS NULL OR expires_at IS NOT NULL)",
        endpoint_id,
        old_until,
    )
    await db.execute(
        "UPDATE endpoint_secrets SET expires_at = $2 WHERE endpoint_id = $1 AND expires_at IS NULL",
        endpoint_id,
        old_until,
    )
    await db.execute(
        """
        INSERT INTO endpoint_secrets (endpoint_id, number, key_id, sealed)
        SELECT $1, coalesce(max(number), 0) + 1, $2, $3 FROM endpoint_secrets WHERE endpoint_id = $1
        """,
        endpoint_id,
        secret.key_id,
        secret.ciphertext,
    )


async def fetch_secrets(db: PoolConnection, *, endpoint_id: str, now: datetime) -> list[EncryptedValue]:
    """Return the secrets that sign now, the newest first."""
    rows = await db.fetch(
        """
        SELECT key_id, sealed FROM endpoint_secrets
        WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY number DESC
        """,
        endpoint_id,
        now,
    )
    return [EncryptedValue(row["key_id"], row["sealed"]) for row in rows]
