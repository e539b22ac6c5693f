"""The SQL of versions: all code that a worker has had, and which version is active.

    building ──▶ ready | failed          a version without dependencies is ready at once

A version is never changed otherwise. The worker's row names the active one. A version that becomes
ready becomes active unless it is settled: a newer one has been active since, or a user has chosen
one (a rollback settles all versions). All writes happen under the lock of the worker's row, which
the caller's transaction holds. How a build ends: builds/store.py.
"""

from typing import Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.workers.model import NewVersion, Version, VersionSource, VersionStatus


def _version(row: Record) -> Version:
    return Version(
        worker_id=row["worker_id"],
        version=row["version"],
        status=VersionStatus(row["status"]),
        active=row["active"],
        source=VersionSource.INLINE if row["bundle_digest"] is None else VersionSource.BUNDLE,
        entrypoint=row["entrypoint"],
        source_code=row["source_code"],
        digest=row["bundle_digest"],
        size_bytes=row["size_bytes"],
        files=row["files"],
        error=row["error"],
        created_by=row["created_by"],
        created_at=row["created_at"],
    )


async def next_version(db: PoolConnection, *, worker_id: str) -> int:
    """Return the number of a new version of a locked worker."""
    number: int = await db.fetchval(
        "SELECT max(version) + 1 FROM worker_versions WHERE worker_id = $1", worker_id
    )
    return number


async def insert_version(db: PoolConnection, new: NewVersion) -> None:
    """Insert a version of a worker that is locked or new."""
    await db.execute(
        """
        INSERT INTO worker_versions (worker_id, version, entrypoint, source_code, status, bundle_digest,
                                     size_bytes, files, created_by, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        new.worker_id,
        new.version,
        new.entrypoint,
        new.source_code,
        new.status,
        new.digest,
        new.size_bytes,
        new.files,
        new.created_by,
        new.created_at,
    )


async def fetch_version(
    db: Database | PoolConnection, *, tenant_id: str, worker_id: str, version: int
) -> Version | None:
    """Return one version of a worker of the tenant."""
    row = await db.fetchrow(
        """
        SELECT v.worker_id, v.version, v.status, v.version = w.version AS active, v.entrypoint, v.source_code,
               v.bundle_digest, coalesce(v.size_bytes, octet_length(v.source_code)) AS size_bytes, v.files,
               v.error, v.created_by, v.created_at
        FROM worker_versions v JOIN workers w ON w.id = v.worker_id
        WHERE w.tenant_id = $1 AND v.worker_id = $2 AND v.version = $3
        """,
        tenant_id,
        worker_id,
        version,
    )
    return None if row is None else _version(row)


_LISTED: Final = Rows(
    columns="""
        v.worker_id, v.version, v.status, v.version = w.version AS active, v.entrypoint,
        NULL AS source_code, v.bundle_digest,
        coalesce(v.size_bytes, octet_length(v.source_code)) AS size_bytes, v.files, v.error,
        v.created_by, v.created_at
    """,
    table="worker_versions v JOIN workers w ON w.id = v.worker_id",
    key="v.version",
    cursor_of=lambda row: str(row["version"]),
    key_of=int,
)


async def list_versions(
    db: Database, *, tenant_id: str, worker_id: str, page: PageRequest
) -> Listing[Version]:
    """Return a page of a worker's versions without their source, newest first."""
    where = Conditions("w.tenant_id = $1 AND v.worker_id = $2", tenant_id, worker_id)
    return (await fetch_page(db, _LISTED, where, page)).map(_version)


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
    """Return the size of the code of all versions of a tenant's workers: sources and bundles."""
    count: int = await db.fetchval(
        """
        SELECT coalesce(sum(coalesce(v.size_bytes, octet_length(v.source_code))), 0)::bigint
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
