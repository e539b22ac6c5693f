"""The SQL of versions: all code that a worker has had, and which version is active.

    building ──▶ ready | failed          a version without dependencies is ready at once

A version is never changed otherwise. The worker's row names the active one. A version that becomes
ready becomes active unless it is settled: a newer one has been active since, or a user has chosen
one (a rollback settles all versions). All writes happen under the lock of the worker's row, which
the caller's transaction holds. How a build ends: builds/store.py.
"""

from collections.abc import Collection
from typing import Final

from asyncpg import Record

from runwright.core.errors import NotFoundError
from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import insert_row, row_of, struct_from_row
from runwright.workers.model import NewVersion, Version, VersionSource

_COLUMNS: Final = """
    v.worker_id, v.version, v.status, v.version = w.version AS active, v.entrypoint,
    v.runtime_version,
    v.bundle_digest AS digest, coalesce(v.size_bytes, octet_length(v.source_code)) AS size_bytes, v.files,
    v.error, v.message, coalesce(v.author, v.created_by) AS author, v.created_by, v.created_at
"""


def _version(row: Record) -> Version:
    source = VersionSource.INLINE if row["digest"] is None else VersionSource.BUNDLE
    return struct_from_row(Version, row, source=source)


def no_version() -> NotFoundError:
    """Return the error for a version that the worker does not have."""
    return NotFoundError("There is no such version.")


async def next_version(db: PoolConnection, *, worker_id: str) -> int:
    """Return the number of a new version of a locked worker."""
    number: int = await db.fetchval(
        "SELECT max(version) + 1 FROM worker_versions WHERE worker_id = $1", worker_id
    )
    return number


async def free_first_number(db: PoolConnection, *, worker_id: str) -> None:
    """Let the first code that is deployed to a locked worker be version 1.

    A worker that was created without code has an empty version 1, which no job has run. It becomes version 0,
    which no list shows, until the first code serves.
    """
    await db.execute(
        """
        WITH empty AS (
            UPDATE worker_versions SET version = 0
            WHERE worker_id = $1 AND version = 1 AND source_code IS NULL AND bundle_digest IS NULL
              AND (SELECT max(version) FROM worker_versions WHERE worker_id = $1) = 1
            RETURNING worker_id
        )
        UPDATE workers SET version = 0, settled_version = 0, revision = revision + 1
        FROM empty WHERE id = empty.worker_id
        """,
        worker_id,
    )


async def insert_version(db: PoolConnection, new: NewVersion) -> None:
    """Insert a version of a worker that is locked or new."""
    await insert_row(db, "worker_versions", row_of(new, without=("digest",)) | {"bundle_digest": new.digest})


async def fetch_version(
    db: Database | PoolConnection, *, tenant_id: str, worker_id: str, version: int
) -> Version | None:
    """Return one version of a worker of the tenant."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS}, v.source_code FROM worker_versions v JOIN workers w ON w.id = v.worker_id
        WHERE w.tenant_id = $1 AND v.worker_id = $2 AND v.version = $3
        """,
        tenant_id,
        worker_id,
        version,
    )
    return None if row is None else _version(row)


_LISTED: Final = Rows(
    columns=f"{_COLUMNS}, NULL AS source_code",
    table="worker_versions v JOIN workers w ON w.id = v.worker_id",
    key="v.version",
    cursor_of=lambda row: str(row["version"]),
    key_of=int,
)


async def list_versions(
    db: Database, *, tenant_id: str, worker_id: str, page: PageRequest
) -> Listing[Version]:
    """Return a page of a worker's versions without their source, newest first."""
    where = Conditions("w.tenant_id = $1 AND v.worker_id = $2 AND v.version > 0", tenant_id, worker_id)
    return (await fetch_page(db, _LISTED, where, page)).map(_version)


async def ready_versions(
    db: PoolConnection, versions: Collection[tuple[str, int]]
) -> frozenset[tuple[str, int]]:
    """Return which of these (worker, version) can run; they keep their code until the transaction ends."""
    rows = await db.fetch(
        """
        SELECT v.worker_id, v.version FROM unnest($1::text[], $2::integer[]) AS k (worker_id, version)
        JOIN worker_versions v USING (worker_id, version) WHERE v.status = 'ready' FOR SHARE OF v
        """,
        [worker_id for worker_id, _ in versions],
        [version for _, version in versions],
    )
    return frozenset((row["worker_id"], row["version"]) for row in rows)


async def settle_versions(db: PoolConnection, *, worker_id: str) -> None:
    """Keep versions that are still being built from becoming active; the worker is locked."""
    await db.execute(
        """
        UPDATE workers SET settled_version = (SELECT max(version) FROM worker_versions WHERE worker_id = $1)
        WHERE id = $1
        """,
        worker_id,
    )


async def count_stored_bytes(db: Database, tenant_id: str, _bound: int) -> int:
    """Return the size of all versions of a tenant's workers, sources and bundles, and of their state."""
    count: int = await db.fetchval(
        """
        SELECT coalesce(sum(coalesce(v.size_bytes, octet_length(v.source_code))), 0)::bigint
               + (SELECT coalesce(sum(s.bytes), 0) FROM worker_state s WHERE s.tenant_id = $1)
        FROM workers w JOIN worker_versions v ON v.worker_id = w.id WHERE w.tenant_id = $1
        """,
        tenant_id,
    )
    return count


async def fetch_build_log(db: Database, *, worker_id: str, version: int) -> str | None:
    """Return what the installer of a version has printed so far; None before its build has begun."""
    log: str | None = await db.fetchval(
        "SELECT log FROM builds WHERE worker_id = $1 AND version = $2", worker_id, version
    )
    return log
