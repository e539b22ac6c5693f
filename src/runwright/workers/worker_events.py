"""The events of workers, which carry the worker as it was then, for it changes later.

The source stays out: it may be large, and a version's source never changes, so that whoever reads
the event finds it by the version.
"""

from typing import Any, Literal

import msgspec

from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.events.store import append_event
from runwright.workers.model import Worker

WorkerFact = Literal["worker.created", "worker.updated", "worker.deprecated"]


async def append_worker_event(db: PoolConnection, worker: Worker, fact: WorkerFact) -> None:
    """Append what became of a worker, in the transaction that makes it true."""
    snapshot: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(worker, source_code=None))
    await append_event(
        db,
        tenant_id=worker.tenant_id,
        type=fact,
        subject_id=worker.id,
        now=worker.updated_at,
        data=msgspec.json.encode(snapshot),
    )


def worker_of(event: Event, source_code: str | None) -> Worker:
    """Return the worker as it was when the event happened."""
    snapshot = msgspec.json.decode(event.data or b"null", type=Worker)
    return msgspec.structs.replace(snapshot, source_code=source_code)
