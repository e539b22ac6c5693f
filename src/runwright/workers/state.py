"""The state of workers: values by key that jobs write for later jobs of the same worker.

The last write wins; a write that expects a value is made only if that is the value at that moment. Writes to
one worker's state happen one after the other. The state outlives versions of its worker.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import WorkerId
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row
from runwright.tenants.audit import record

MOST_KEYS: Final = 256
STATE_BYTES: Final = 1024 * 1024
"""Most JSON of all values of a worker together."""

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('state of ' || $1, 0))"
_NULL: Final = b"null"
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


class StateValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a worker's state, the job that wrote it, and when."""

    key: str
    value: msgspec.Raw
    bytes: int
    job_id: str
    updated_at: datetime


class StateWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A value to write: JSON, null to delete the key. `expect`: what the value must be; None: anything."""

    tenant_id: str
    worker_id: str
    key: str
    value: bytes
    expect: bytes | None
    job_id: str


_COLUMNS: Final = "key, value, bytes, job_id, updated_at"


async def fetch_value(
    db: Database | PoolConnection, *, tenant_id: str, worker_id: WorkerId, key: str
) -> StateValue | None:
    """Return a value of a worker's state."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM worker_state WHERE tenant_id = $1 AND worker_id = $2 AND key = $3",  # noqa: S608  constants
        tenant_id,
        worker_id,
        key,
    )
    return None if row is None else struct_from_row(StateValue, row)


async def write_value(db: PoolConnection, write: StateWrite, now: datetime) -> bool:
    """Write or delete a value in the caller's transaction; False if it is not the expected one.

    ConflictError where the state has no room for it.
    """
    await db.execute(_LOCK, write.worker_id)
    before = await fetch_value(
        db, tenant_id=write.tenant_id, worker_id=WorkerId(write.worker_id), key=write.key
    )
    if write.expect is not None and not _equal(write.expect, _NULL if before is None else before.value):
        return False
    if _equal(write.value, _NULL):
        await db.execute(
            "DELETE FROM worker_state WHERE tenant_id = $1 AND worker_id = $2 AND key = $3",
            write.tenant_id,
            write.worker_id,
            write.key,
        )
        return True
    await _check_room(db, write, 0 if before is None else before.bytes, is_new=before is None)
    await db.execute(
        """
        INSERT INTO worker_state (tenant_id, worker_id, key, value, bytes, job_id, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant_id, worker_id, key) DO UPDATE
        SET value = excluded.value, bytes = excluded.bytes, job_id = excluded.job_id,
            updated_at = excluded.updated_at
        """,
        write.tenant_id,
        write.worker_id,
        write.key,
        write.value,
        len(write.value),
        write.job_id,
        now,
    )
    return True


async def _check_room(db: PoolConnection, write: StateWrite, freed: int, *, is_new: bool) -> None:
    row = await db.fetchrow(
        "SELECT count(*) AS keys, coalesce(sum(bytes), 0) AS bytes FROM worker_state"
        " WHERE tenant_id = $1 AND worker_id = $2",
        write.tenant_id,
        write.worker_id,
    )
    assert row is not None  # noqa: S101  an aggregate
    if is_new and row["keys"] >= MOST_KEYS:
        raise ConflictError(f"The state of a worker has at most {MOST_KEYS} keys.")
    if row["bytes"] - freed + len(write.value) > STATE_BYTES:
        raise ConflictError(f"The state of a worker has at most {STATE_BYTES} bytes.")


def _equal(one: bytes | msgspec.Raw, other: bytes | msgspec.Raw) -> bool:
    return _canonical(msgspec.json.decode(one)) == _canonical(msgspec.json.decode(other))


class WorkerState:
    """The states of workers, for the people of their tenant."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def list(self, tenant_id: str, worker_id: WorkerId) -> Sequence[StateValue]:
        """Return all values of a worker's state, by key; NotFoundError if there is no such worker."""
        await self._require_worker(self._db, tenant_id, worker_id)
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM worker_state WHERE tenant_id = $1 AND worker_id = $2 ORDER BY key",  # noqa: S608  as above
            tenant_id,
            worker_id,
        )
        return [struct_from_row(StateValue, row) for row in rows]

    async def get(self, tenant_id: str, worker_id: WorkerId, key: str) -> StateValue:
        """Return one value; NotFoundError if there is none."""
        value = await fetch_value(self._db, tenant_id=tenant_id, worker_id=worker_id, key=key)
        if value is None:
            await self._require_worker(self._db, tenant_id, worker_id)
            raise NotFoundError("The worker's state has no such key.")
        return value

    async def delete(self, caller: Caller, worker_id: WorkerId, key: str | None) -> None:
        """Delete one value, or (None) all; NotFoundError if there is no such worker or key."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            await self._require_worker(db, caller.tenant_id, worker_id)
            await db.execute(_LOCK, worker_id)
            rows = await db.fetch(
                "DELETE FROM worker_state WHERE tenant_id = $1 AND worker_id = $2"
                " AND ($3::text IS NULL OR key = $3) RETURNING key, bytes",
                caller.tenant_id,
                worker_id,
                key,
            )
            if not rows and key is not None:
                raise NotFoundError("The worker's state has no such key.")
            if rows:
                before = sorted((row["key"], row["bytes"]) for row in rows)
                await record(db, caller, "worker.state_delete", worker_id, now=now, before=before)

    async def _require_worker(
        self, db: Database | PoolConnection, tenant_id: str, worker_id: WorkerId
    ) -> None:
        if not await db.fetchval(
            "SELECT true FROM workers WHERE tenant_id = $1 AND id = $2", tenant_id, worker_id
        ):
            raise NotFoundError(f"There is no worker {worker_id}.")
