"""Builds and layers in the database.

A version is `building` from its deploy on. A builder claims it with a lease that it renews; when the
lease expires, another builder may claim it. (builder_id, attempt) fences every write: a builder that
was too slow changes nothing. The end of a build, its layer and the status of the version are written in
one transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.builds.model import Build, Layer
from runwright.core.clock import Clock
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.workers.bundles.blobs import PackedBlob, insert_blob
from runwright.workers.model import VersionStatus
from runwright.workers.store import fetch_worker
from runwright.workers.worker_events import append_worker_event

# The oldest version of the tenant whose latest build began longest ago, so that no tenant's deploys delay
# those of others.
_CLAIM: Final = """
WITH next AS (
    SELECT v.worker_id, v.version, w.tenant_id, w.runtime, v.runtime_version, v.entrypoint, v.bundle_digest,
           v.import_check
    FROM worker_versions v
    JOIN workers w ON w.id = v.worker_id
    LEFT JOIN builds b ON b.worker_id = v.worker_id AND b.version = v.version
    WHERE v.status = 'building' AND coalesce(w.runtime || '@' || v.runtime_version, w.runtime) = ANY($2)
      AND (b.lease_expires_at IS NULL OR b.lease_expires_at <= now())
      AND ($4::float8 = 0 OR v.import_check = 'only'
           OR v.created_at <= now() - make_interval(secs => $4::float8))
    ORDER BY (SELECT max(o.started_at) FROM builds o WHERE o.tenant_id = w.tenant_id) NULLS FIRST,
             v.created_at, v.worker_id, v.version
    LIMIT 1
    FOR UPDATE OF v SKIP LOCKED
), claimed AS (
    INSERT INTO builds AS b
        (worker_id, version, tenant_id, attempt, builder_id, lease_expires_at, started_at)
    SELECT worker_id, version, tenant_id, 1, $1, now() + make_interval(secs => $3), clock_timestamp()
    FROM next
    ON CONFLICT (worker_id, version) DO UPDATE
    SET attempt = b.attempt + 1, builder_id = $1, started_at = clock_timestamp(),
        lease_expires_at = now() + make_interval(secs => $3)
    -- another builder may have claimed it since the snapshot was taken
    WHERE b.lease_expires_at IS NULL OR b.lease_expires_at <= now()
    RETURNING b.worker_id, b.version, b.attempt
)
SELECT next.*, claimed.attempt FROM next JOIN claimed USING (worker_id, version)
"""


class Builds:
    """The builds of one builder; every write is fenced by its id."""

    def __init__(self, db: Database, *, clock: Clock, builder_id: str, lease_seconds: float) -> None:
        self._db = db
        self._clock = clock
        self._builder_id = builder_id
        self._lease_seconds = lease_seconds

    async def claim(self, runtimes: list[str], *, age_seconds: float = 0.0) -> Build | None:
        """Claim the next version of these runtimes to be built that is at least `age_seconds` old."""
        row = await self._db.fetchrow(_CLAIM, self._builder_id, runtimes, self._lease_seconds, age_seconds)
        return None if row is None else struct_from_row(Build, row)

    async def renew(self, build: Build, *, log: str) -> bool:
        """Renew the lease of a build; False where another builder has it."""
        change = "log = $4, lease_expires_at = now() + make_interval(secs => $5)"
        return await self._write(self._db, change, build, log, self._lease_seconds)

    async def release(self, build: Build, *, log: str, pause_seconds: float, free: bool) -> None:
        """Release a build, to be claimed again after a pause; `free`: without counting the attempt."""
        change = (
            "log = $4, builder_id = NULL, lease_expires_at = now() + make_interval(secs => $5),"
            " attempt = attempt - $6"
        )
        await self._write(self._db, change, build, log, pause_seconds, int(free))

    async def release_lost(self, held: Sequence[Build]) -> int:
        """Release what the tables assign to this builder beside what it holds; return how many.

        Their claims were committed and the answers lost, so these attempts never began and do not count.
        """
        rows = await self._db.fetch(
            """
            UPDATE builds b SET builder_id = NULL, lease_expires_at = now(), attempt = attempt - 1
            WHERE b.builder_id = $1 AND b.lease_expires_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM unnest($2::text[], $3::integer[]) AS h (worker_id, version)
                WHERE h.worker_id = b.worker_id AND h.version = b.version
            ) RETURNING 1
            """,
            self._builder_id,
            [build.worker_id for build in held],
            [build.version for build in held],
        )
        return len(rows)

    async def layer(self, key: str) -> Layer | None:
        """Return the layer of that key, if it was installed before."""
        return await fetch_layer(self._db, key=key)

    async def finish(self, build: Build, layer: Layer | None, *, blob: PackedBlob | None, log: str) -> bool:
        """Store a layer and make its version ready; False where another builder has the build."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            if not await self._end(db, build, log):
                return False
            if layer is not None and blob is not None:
                await insert_blob(db, blob, now=now)
                await insert_row(db, "layers", row_of(layer), "ON CONFLICT DO NOTHING")
            await mark_ready(db, build, layer_key=layer.key if layer else None, now=now)
        return True

    async def store_layer(self, layer: Layer, blob: PackedBlob) -> None:
        """Store a layer before the code that needs it is imported."""
        async with self._db.acquire() as db, db.transaction():
            await insert_blob(db, blob, now=self._clock())
            await insert_row(db, "layers", row_of(layer), "ON CONFLICT DO NOTHING")

    async def fail(self, build: Build, *, reason: str, log: str) -> bool:
        """Mark a version as failed; False where another builder has the build."""
        async with self._db.acquire() as db, db.transaction():
            if not await self._end(db, build, log):
                return False
            await mark_failed(db, build, reason=reason)
        return True

    async def _end(self, db: PoolConnection, build: Build, log: str) -> bool:
        """Lock the worker's row, as every change of the active version does first, and end its build."""
        await db.execute("SELECT 1 FROM workers WHERE id = $1 FOR UPDATE", build.worker_id)
        change = "log = $4, builder_id = NULL, lease_expires_at = NULL, ended_at = clock_timestamp()"
        return await self._write(db, change, build, log)

    async def _write(self, db: Database | PoolConnection, change: str, build: Build, *values: object) -> bool:
        """Update a build that this builder has; the fencing token is (builder, attempt)."""
        updated = await db.fetchval(
            f"UPDATE builds SET {change}"
            f" WHERE worker_id = $1 AND version = $2 AND builder_id = $3 AND attempt = ${4 + len(values)}"
            " RETURNING true",
            *(build.worker_id, build.version, self._builder_id, *values, build.attempt),
        )
        return updated is not None


async def fetch_layer(db: Database | PoolConnection, *, key: str) -> Layer | None:
    """Return the layer of that key."""
    row = await db.fetchrow(f"SELECT {column_list(Layer)} FROM layers WHERE key = $1", key)
    return None if row is None else struct_from_row(Layer, row)


async def mark_ready(db: PoolConnection, build: Build, *, layer_key: str | None, now: datetime) -> bool:
    """Make a version ready, and active unless a newer one was settled; return whether it is active.

    A version that is active already was rebuilt for other interpreters; its new revision makes executors
    reload it. Runs in the caller's transaction, which holds the lock of the worker's row.
    """
    made = await db.fetchrow(
        """
        UPDATE worker_versions SET status = 'ready', layer_key = $3, error = NULL
        WHERE worker_id = $1 AND version = $2 AND status = 'building' RETURNING entrypoint, runtime_version
        """,
        build.worker_id,
        build.version,
        layer_key,
    )
    if made is None:
        return False
    row = await db.fetchrow(
        """
        UPDATE workers SET version = $2, settled_version = greatest(settled_version, $2), entrypoint = $3,
            runtime_version = $5, revision = revision + 1, updated_at = greatest(updated_at, $4)
        WHERE id = $1 AND (settled_version < $2 OR version = $2) AND status <> 'deprecated'
        RETURNING tenant_id
        """,
        build.worker_id,
        build.version,
        made["entrypoint"],
        now,
        made["runtime_version"],
    )
    if row is None:
        return False
    worker = await fetch_worker(db, tenant_id=row["tenant_id"], worker_id=build.worker_id)
    if worker is not None:
        await append_worker_event(db, worker, "worker.updated")
    return True


async def build_again(db: Database, *, layer_key: str, quiet_seconds: float) -> bool:
    """Rebuild the active versions that use a layer of a platform that no longer exists; they stay active.

    Returns whether any is being built. A version whose last build ended within `quiet_seconds` is not
    rebuilt: executors on different platforms would have it rebuilt again and again.
    """
    async with db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            """
            SELECT v.worker_id, v.version, v.status
            FROM worker_versions v JOIN workers w ON w.id = v.worker_id AND w.version = v.version
            WHERE v.layer_key = $1 ORDER BY v.worker_id FOR UPDATE OF w
            """,
            layer_key,
        )
        begun = await connection.fetch(
            """
            WITH again AS (
                UPDATE builds b SET attempt = 0, lease_expires_at = NULL
                FROM worker_versions v
                WHERE v.worker_id = b.worker_id AND v.version = b.version AND v.status = 'ready'
                  AND b.worker_id = ANY($1) AND v.layer_key = $2
                  AND b.ended_at < now() - make_interval(secs => $3)
                RETURNING b.worker_id, b.version
            )
            UPDATE worker_versions v SET status = 'building' FROM again
            WHERE v.worker_id = again.worker_id AND v.version = again.version RETURNING v.version
            """,
            [row["worker_id"] for row in rows],
            layer_key,
            quiet_seconds,
        )
    return bool(begun) or any(row["status"] == VersionStatus.BUILDING for row in rows)


async def mark_failed(db: PoolConnection, build: Build, *, reason: str) -> None:
    """Mark a version as failed, with the reason, in the caller's transaction."""
    await db.execute(
        "UPDATE worker_versions SET status = 'failed', error = $3"
        " WHERE worker_id = $1 AND version = $2 AND status = 'building'",
        build.worker_id,
        build.version,
        reason,
    )
