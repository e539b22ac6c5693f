"""The SQL of workers. A worker's row holds its current values; worker_versions all code it has had."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row, update_row
from runwright.workers.model import MAX_PROCESSES, NewVersion, Worker, WorkerFilter, WorkerStatus
from runwright.workers.versions import insert_version
from runwright.workers.worker_events import append_worker_event

_SETTINGS = column_list(Worker, "w", without=("source_code",))
_COLUMNS = f"{_SETTINGS}, v.source_code"
_JOINS = "JOIN worker_versions v ON v.worker_id = w.id AND v.version = w.version"
_LISTED = Rows(columns=_COLUMNS, table="workers w", joins=_JOINS, key="w.id")
_SUMMARIES = Rows(columns=f"{_SETTINGS}, NULL AS source_code", table="workers w", key="w.id")


async def insert_worker(db: PoolConnection, worker: Worker) -> None:
    """Insert a worker and its first version, and append the event."""
    await insert_row(db, "workers", _row(worker) | {"revision": 1})
    first = NewVersion(
        worker_id=worker.id,
        version=worker.version,
        entrypoint=worker.entrypoint,
        runtime_version=worker.runtime_version,
        source_code=worker.source_code,
        created_by=worker.created_by,
        created_at=worker.created_at,
    )
    await insert_version(db, first)
    await append_worker_event(db, worker, "worker.created")


async def update_worker(db: PoolConnection, worker: Worker) -> None:
    """Write a worker that the same transaction has locked; its revision goes up.

    Appends the event. Once a new version is active, earlier ones that are still being built do not
    become active any more.
    """
    await update_row(
        db,
        "workers",
        _row(worker),
        revision="revision + 1",
        settled_version="greatest(settled_version, {version})",
    )
    deprecated = worker.status is WorkerStatus.DEPRECATED
    await append_worker_event(db, worker, "worker.deprecated" if deprecated else "worker.updated")


def _row(worker: Worker) -> dict[str, Any]:
    json: dict[str, bytes | None] = {
        name: msgspec.json.encode(getattr(worker, name)) for name in ("config", "network")
    }
    json["input_schema"] = None if worker.input_schema is None else msgspec.json.encode(worker.input_schema)
    return row_of(worker, without=("source_code",)) | json


def _worker(row: Record) -> Worker:
    return struct_from_row(Worker, row)


async def fetch_worker(
    db: Database | PoolConnection, *, tenant_id: str, worker_id: str, lock: bool = False
) -> Worker | None:
    """Return a worker of the tenant; `lock` holds its row until the transaction ends."""
    if lock:
        # A separate statement: one that waits for the row would join the version that it had before.
        await db.execute(
            "SELECT 1 FROM workers WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, worker_id
        )
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM workers w {_JOINS} WHERE w.tenant_id = $1 AND w.id = $2",
        tenant_id,
        worker_id,
    )
    return None if row is None else _worker(row)


async def find_workers(
    db: Database | PoolConnection, names: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return the ids of workers by (tenant, name or id); an active one before others, the newest first."""
    rows = await db.fetch(
        """
        SELECT i.tenant_id, i.name, w.id
        FROM unnest($1::text[], $2::text[]) AS i (tenant_id, name)
        CROSS JOIN LATERAL (
            SELECT id FROM workers w WHERE w.tenant_id = i.tenant_id AND (w.name = i.name OR w.id = i.name)
            ORDER BY w.status = 'active' DESC, w.id = i.name DESC, w.id DESC LIMIT 1
        ) w
        """,
        [tenant_id for tenant_id, _ in names],
        [name for _, name in names],
    )
    return {(row["tenant_id"], row["name"]): row["id"] for row in rows}


async def find_by_name(db: Database, *, tenant_id: str, name: str, limit: int) -> Sequence[str]:
    """Return the ids of up to `limit` workers with this name or id: that with the id, else those in use."""
    rows = await db.fetch(
        """
        SELECT id, status <> 'deprecated' AS in_use FROM workers
        WHERE tenant_id = $1 AND (id = $2 OR name = $2) ORDER BY id = $2 DESC, in_use DESC, id DESC LIMIT $3
        """,
        tenant_id,
        name,
        limit,
    )
    if any(row["id"] == name for row in rows):
        return [name]
    return [row["id"] for row in rows if row["in_use"]] or [row["id"] for row in rows]


_NEWEST_IS: Final = """
EXISTS (
    SELECT FROM worker_versions v WHERE v.worker_id = w.id AND v.status = {}
      AND v.version = (SELECT max(n.version) FROM worker_versions n WHERE n.worker_id = w.id)
)"""


async def list_workers(
    db: Database, *, tenant_id: str, which: WorkerFilter, page: PageRequest, payloads: bool
) -> Listing[Worker]:
    """Return a page of the tenant's workers, newest first; the source is read with `payloads` only."""
    where = Conditions("w.tenant_id = $1", tenant_id)
    where.add("w.status = {}", which.status)
    where.add("w.runtime = {}", which.runtime)
    where.add(_NEWEST_IS, which.newest_version)
    where.add("strpos(lower(w.name), lower({})) > 0", which.name_contains)
    return (await fetch_page(db, _LISTED if payloads else _SUMMARIES, where, page)).map(_worker)


class WorkerRevision(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor needs of a worker, at one revision and version."""

    worker_id: str
    tenant_id: str
    name: str
    runtime: str
    runtime_version: str | None = None
    revision: int
    version: int
    entrypoint: str
    source_code: str
    bundle_digest: str | None = None
    layer_key: str | None = None
    config: dict[str, Any]
    secrets: list[str]
    timeout_seconds: int
    max_concurrency: int | None
    memory_mb: int
    max_processes: int = MAX_PROCESSES
    network: Any
    updated_at: datetime


async def fetch_revision(
    db: Database, *, worker_id: str, pinned_version: int | None = None
) -> WorkerRevision | None:
    """Return the worker at its current revision, with the code that serves or that of another version."""
    row = await db.fetchrow(
        """
        SELECT w.id AS worker_id, w.tenant_id, w.name, w.runtime, v.runtime_version, w.revision, v.version,
               v.entrypoint,
               coalesce(v.source_code, '') AS source_code, v.bundle_digest, v.layer_key, w.config, w.secrets,
               w.timeout_seconds, w.max_concurrency, w.memory_mb, w.max_processes, w.network, w.updated_at
        FROM workers w JOIN worker_versions v ON v.worker_id = w.id AND v.version = coalesce($2, w.version)
        WHERE w.id = $1
        """,
        worker_id,
        pinned_version,
    )
    return None if row is None else struct_from_row(WorkerRevision, row)


async def fetch_source_interpreters(db: Database) -> list[str]:
    """Return the names of the interpreters of the active workers whose code is a source text."""
    rows = await db.fetch(
        """
        SELECT DISTINCT coalesce(w.runtime || '@' || w.runtime_version, w.runtime) AS interpreter
        FROM workers w JOIN worker_versions v ON v.worker_id = w.id AND v.version = w.version
        WHERE w.status = 'active' AND v.source_code IS NOT NULL
        """
    )
    return [row["interpreter"] for row in rows]


async def fetch_sources(
    db: Database, versions: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], str | None]:
    """Return the source of each (worker, version); None where it has none."""
    rows = await db.fetch(
        """
        SELECT v.worker_id, v.version, v.source_code
        FROM unnest($1::text[], $2::integer[]) AS k (worker_id, version)
        JOIN worker_versions v USING (worker_id, version)
        """,
        [worker_id for worker_id, _ in versions],
        [version for _, version in versions],
    )
    return {(row["worker_id"], row["version"]): row["source_code"] for row in rows}
