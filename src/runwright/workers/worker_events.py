"""The events of workers. Each contains the worker as it was then, because it changes later.

The source code is left out: it may be large, and the source of a version never changes, so that
readers of the event find it by the version.
"""

from typing import Any, Literal

import msgspec

from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.events.store import append_event
from runwright.workers.model import Worker

WorkerEventType = Literal["worker.created", "worker.updated", "worker.deprecated"]


async def append_worker_event(db: PoolConnection, worker: Worker, event_type: WorkerEventType) -> None:
    """Append an event about a worker, in the transaction that changes it."""
    snapshot: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(worker, source_code=None))
    await append_event(
        db,
        tenant_id=worker.tenant_id,
        type=event_type,
        subject_id=worker.id,
        now=worker.updated_at,
        data=msgspec.json.encode(snapshot),
    )


def worker_of(event: Event, source_code: str | None) -> Worker:
    """Return the worker as it was when the event happened."""
    snapshot = msgspec.json.decode(event.data or b"null", type=Worker)
    return msgspec.structs.replace(snapshot, source_code=source_code)
