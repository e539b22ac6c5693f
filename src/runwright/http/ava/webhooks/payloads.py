"""The bodies and headers of AVA's webhooks.

The body of an event is rebuilt for every attempt, from data that never changes: the job if it has ended;
else the job's input and the event's own data; a worker or a schedule as stored with its event. So the
body is the same at every attempt, and nothing is stored twice.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from runwright.core.job_state import JobStatus
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.events.model import Event
from runwright.http.ava.jobs.schemas import JobRecordOut, job_record_out
from runwright.http.ava.schedules.schemas import ScheduleOut, TickOut, tick_out
from runwright.http.ava.webhooks.event_names import event_name
from runwright.http.ava.workers.schemas import WorkerOut, worker_out
from runwright.http.fields import format_time, to_out
from runwright.jobs.model import Job
from runwright.jobs.store.read import fetch_jobs_by_key
from runwright.outbox.signing import hex_signature, standard_signature
from runwright.schedules.model import Schedule, Tick
from runwright.webhooks.service import TEST_EVENT
from runwright.workers.store import fetch_sources
from runwright.workers.worker_events import worker_of

_BATCH: Final = 32
"""How many jobs are read together; each may have 2 MiB."""


class WebhookBody(msgspec.Struct, frozen=True):
    """The body of a webhook."""

    id: str
    type: str
    created_at: str
    tenant_id: str
    data: Any


class TestData(msgspec.Struct, frozen=True):
    """The data of a test."""

    webhook_id: str
    message: str = "This is a test of the webhook."


class ScheduleEventData(ScheduleOut, frozen=True, kw_only=True):
    """A schedule as it was before a tick was decided, and that tick."""

    tick: TickOut


class _StoredTick(msgspec.Struct, frozen=True):
    """The stored data of a tick's event."""

    schedule: Schedule
    tick: Tick


class _JobEventData(msgspec.Struct, frozen=True):
    """The stored data of an event of a job that had not ended."""

    attempt: int
    worker_version: int


class AvaPayloadFormat:
    """The format of AVA's webhooks. `stop` ends its reads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._jobs: Batcher[tuple[str, str], Job | None] = Batcher(
            self._read_jobs, max_items=_BATCH, max_in_flight=2
        )

    async def stop(self) -> None:
        """Wait for reads that are in progress."""
        await self._jobs.stop()

    async def body(self, event: Event) -> bytes | None:
        data = await self._data(event)
        if data is None:
            return None
        webhook = WebhookBody(
            event.id, event_name(event), format_time(event.created_at), event.tenant_id, data
        )
        return msgspec.json.encode(webhook)

    async def data(self, event: Event) -> bytes | None:
        """Return the data of an event as JSON; None if its subject has been deleted."""
        data = await self._data(event)
        return None if data is None else msgspec.json.encode(data)

    def headers(
        self, event: Event, _: str, body: bytes, secrets: Sequence[str], now: float
    ) -> list[tuple[str, str]]:
        timestamp = int(now)
        signatures = [standard_signature(secret, event.id, timestamp, body) for secret in secrets]
        return [
            ("Content-Type", "application/json"),
            *(("X-HLD-Signature-256", f"sha256={hex_signature(secret, body)}") for secret in secrets),
            ("webhook-id", event.id),
            ("webhook-timestamp", str(timestamp)),
            ("webhook-signature", " ".join(signatures)),
        ]

    async def _data(
        self, event: Event
    ) -> JobRecordOut | WorkerOut | ScheduleEventData | TestData | msgspec.Raw | None:
        if event.type == TEST_EVENT:
            return TestData(event.subject_id)
        family = event.type.partition(".")[0]
        if family == "job":
            job = await self._jobs.add((event.tenant_id, event.subject_id))
            return None if job is None else job_record_out(_as_it_was(job, event))
        if family == "worker":
            worker = worker_of(event, None)
            key = (worker.id, worker.version)
            return worker_out(worker_of(event, (await fetch_sources(self._db, [key])).get(key)))
        if family == "schedule":
            return None if event.data is None else _schedule_event_data(event.data)
        return event.data

    async def _read_jobs(self, keys: Sequence[tuple[str, str]]) -> Sequence[Job | None]:
        found = await fetch_jobs_by_key(self._db, list(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]


def _schedule_event_data(data: msgspec.Raw) -> ScheduleEventData:
    stored = msgspec.json.decode(data, type=_StoredTick)
    return to_out(ScheduleEventData, stored.schedule, tick=tick_out(stored.tick))


def _as_it_was(job: Job, event: Event) -> Job:
    """Return the job at the time of its event; one that has ended is unchanged."""
    if event.type not in {"job.queued", "job.started"}:
        return job
    stored = msgspec.json.decode(event.data or b"null", type=_JobEventData)
    started = event.type == "job.started"
    return msgspec.structs.replace(
        job,
        status=JobStatus.RUNNING if started else JobStatus.QUEUED,
        attempt=stored.attempt,
        worker_version=stored.worker_version,
        started_at=event.created_at if started else None,
        completed_at=None,
        duration_ms=None,
        output=msgspec.Raw(b"null"),
        error=None,
        cancel_requested_at=None,
    )
