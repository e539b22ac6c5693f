"""Reading the deliveries to all endpoints of a tenant, with what they tell."""

from typing import Final

from runwright.core.paging import View, Window
from runwright.db.pool import Database
from runwright.outbox.model import Delivery
from runwright.outbox.store.history import COLUMNS, attempts_of, delivery_of

_COLUMNS: Final = f"{COLUMNS}, e.data"
_JOINS: Final = """
    LEFT JOIN delivery_queue q ON q.delivery_id = d.id LEFT JOIN events e ON e.position = d.position
"""


async def view_deliveries(db: Database, *, tenant_id: str, style: str, window: Window) -> View[Delivery]:
    """Return what a window shows of the deliveries to a tenant's endpoints of a style.

    A tenant has few endpoints: the first rows of each are found by its index and sorted together.
    """
    rows = await db.fetch(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT one.* FROM endpoints p CROSS JOIN LATERAL (
                SELECT * FROM deliveries WHERE endpoint_id = p.id
                AND ($3::text IS NULL OR id < $3) AND ($4::text IS NULL OR id > $4)
                ORDER BY id {window.order} LIMIT $5
            ) one WHERE p.tenant_id = $1 AND p.style = $2 ORDER BY one.id {window.order} LIMIT $5
        ) d {_JOINS} ORDER BY d.id {window.order}
        """,
        tenant_id,
        style,
        window.older_than,
        window.newer_than,
        window.limit + 1,
    )
    attempts = await attempts_of(db, [row["id"] for row in rows])
    return View.of([delivery_of(row, attempts.get(row["id"], [])) for row in rows], window)


async def fetch_delivery_of_tenant(
    db: Database, *, tenant_id: str, style: str, delivery_id: str
) -> Delivery | None:
    """Return one delivery to an endpoint of the tenant that has this style."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM deliveries d JOIN endpoints p ON p.id = d.endpoint_id {_JOINS}
        WHERE d.id = $1 AND p.tenant_id = $2 AND p.style = $3
        """,
        delivery_id,
        tenant_id,
        style,
    )
    if row is None:
        return None
    attempts = await attempts_of(db, [delivery_id])
    return delivery_of(row, attempts.get(delivery_id, []))
