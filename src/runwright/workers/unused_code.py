"""Deletes unused code: that of old versions, and then the dependencies and blobs that no version has.

A version loses its code, for good, when it is older than the retention, is not among the newest
`KEPT_VERSIONS` of its worker, does not serve, and no job runs it or is bound to it. It stays in lists as
`failed`, with the reason, so nothing rolls back to it or retries on it, in the release before too.

Every step is a transaction, and each next one finds what an interrupted one left. What is deleted is locked
first, and looked at again with a new snapshot: what began to use it in between keeps it. Rows that another
process has locked are skipped.
"""

from datetime import datetime, timedelta
from typing import Final

from runwright.db.pool import Database

KEPT_VERSIONS: Final = 10
"""The newest versions of a worker, which keep their code however old they are."""

SETTLED_FOR: Final = timedelta(hours=1)
"""How long a worker must be unchanged: jobs that began with its version before have loaded it since."""

GONE: Final = "The code of this version was deleted because it was old and not used."

_OLD: Final = """
SELECT v.worker_id, v.version FROM worker_versions v JOIN workers w ON w.id = v.worker_id
WHERE v.created_at < $1 AND w.updated_at < $2 AND v.version > 0 AND v.version <> w.version
  AND v.status <> 'building' AND (v.bundle_digest IS NOT NULL OR v.source_code IS NOT NULL)
  AND v.version <= (SELECT max(version) FROM worker_versions n WHERE n.worker_id = v.worker_id) - $3
ORDER BY v.worker_id, v.version LIMIT $4 FOR UPDATE OF v, w SKIP LOCKED
"""
_EMPTY: Final = """
WITH used AS MATERIALIZED (  -- one look at the queue, for all of them
    SELECT DISTINCT worker_id, worker_version AS version FROM job_queue WHERE pinned OR state = 'running'
), old AS (
    SELECT * FROM unnest($1::text[], $2::integer[]) AS o (worker_id, version)
    EXCEPT SELECT worker_id, version FROM used
)
UPDATE worker_versions v SET status = 'failed', error = $3, bundle_digest = NULL, layer_key = NULL,
    source_code = NULL, size_bytes = 0, files = NULL
FROM old WHERE v.worker_id = old.worker_id AND v.version = old.version RETURNING 1
"""

_LAYERS: Final = """
SELECT key FROM layers l WHERE created_at < $1
  AND NOT EXISTS (SELECT FROM worker_versions v WHERE v.layer_key = l.key)
ORDER BY key LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_DELETE_LAYERS: Final = """
DELETE FROM layers l WHERE key = ANY($1)
  AND NOT EXISTS (SELECT FROM worker_versions v WHERE v.layer_key = l.key) RETURNING 1
"""

_UNUSED_BLOB: Final = """
NOT EXISTS (SELECT FROM worker_versions v WHERE v.bundle_digest = b.digest)
AND NOT EXISTS (SELECT FROM layers l WHERE l.digest = b.digest)
"""
_BLOBS: Final = f"""
SELECT digest FROM blobs b WHERE created_at < $1 AND {_UNUSED_BLOB}
ORDER BY digest LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608  constants
_DELETE_BLOBS: Final = f"""
WITH unused AS (SELECT digest FROM blobs b WHERE digest = ANY($1) AND {_UNUSED_BLOB}),
chunks AS (DELETE FROM blob_chunks WHERE digest IN (SELECT digest FROM unused))
DELETE FROM blobs WHERE digest IN (SELECT digest FROM unused) RETURNING 1
"""  # noqa: S608  constants


_UNUSED_BYTES: Final = """
SELECT coalesce(sum(packed_bytes), 0)::bigint FROM blobs b
WHERE NOT EXISTS (SELECT FROM worker_versions v WHERE v.bundle_digest = b.digest)
  AND NOT EXISTS (
      SELECT FROM layers l JOIN worker_versions v ON v.layer_key = l.key WHERE l.digest = b.digest
  )
"""


async def empty_old_versions(db: Database, *, before: datetime, now: datetime, limit: int) -> int:
    """Delete the code of up to `limit` versions that were made before a time; return how many."""
    async with db.acquire() as connection, connection.transaction():
        old = await connection.fetch(_OLD, before, now - SETTLED_FOR, KEPT_VERSIONS, limit)
        if not old:
            return 0
        ids, versions = [row["worker_id"] for row in old], [row["version"] for row in old]
        return len(await connection.fetch(_EMPTY, ids, versions, GONE))


async def prune_layers(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` dependency layers from before a time that no version has; return how many."""
    return await _delete(db, _LAYERS, _DELETE_LAYERS, before=before, limit=limit)


async def prune_blobs(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` blobs from before a time that no version and no layer has; return how many."""
    return await _delete(db, _BLOBS, _DELETE_BLOBS, before=before, limit=limit)


async def count_unused_bytes(db: Database) -> int:
    """Return how much the blobs take that no version and no layer has, or only a layer without a version."""
    count: int = await db.fetchval(_UNUSED_BYTES)
    return count


async def _delete(db: Database, find: str, delete: str, *, before: datetime, limit: int) -> int:
    async with db.acquire() as connection, connection.transaction():
        found = [row[0] for row in await connection.fetch(find, before, limit)]
        return len(await connection.fetch(delete, found)) if found else 0
