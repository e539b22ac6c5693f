"""What takes how much room in the database."""

from collections import Counter
from typing import Final

from runwright.db.pool import Database
from runwright.http.system_report import StorageReport
from runwright.workers.unused_code import count_unused_bytes

_CODE: Final = "code"
_OTHER: Final = "other"
_PREFIXES: Final = {
    "job_log": "logs",
    "job": "jobs",
    "blob": _CODE,
    "layer": _CODE,
    "worker_versions": _CODE,
    "build": _CODE,
    "event": "events",
    "deliver": "events",
    "endpoint": "events",
    "outbox": "events",
    "completion": "events",
    "agent": "agents",
    "automation": "agents",
    "execution": "agents",
    "webhook": "agents",
    "schedule": "schedules",
    "tick": "schedules",
    "audit": "audit",
}
"""What the tables whose names begin so belong to; the first that fits counts."""

_TABLES: Final = """
SELECT relname::text AS name, pg_total_relation_size(oid) AS bytes FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""


async def read_storage(db: Database) -> list[StorageReport]:
    """Return the parts of the data, largest first."""
    sizes: Counter[str] = Counter()
    for row in await db.fetch(_TABLES):
        sizes[_part_of(row["name"])] += row["bytes"]
    unused = await count_unused_bytes(db)
    return [
        StorageReport(name=name, size_bytes=size, unused_bytes=unused if name == _CODE else 0)
        for name, size in sizes.most_common()
    ]


def _part_of(table: str) -> str:
    return next((part for prefix, part in _PREFIXES.items() if table.startswith(prefix)), _OTHER)
