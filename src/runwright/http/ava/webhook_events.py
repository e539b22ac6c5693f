"""AVA's names for events, and the bodies and headers of its webhooks.

An event's body is rebuilt whenever it is sent, from what never changes: a job that has ended; what
was asked of one that was queued or started, with the facts of its event; a worker or a schedule as its
event kept it. So a body is the same at every attempt and nothing is stored twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from runwright.agents.model import ACTION_EVENT
from runwright.core.job_state import JobStatus
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.events.model import Event
from runwright.http.ava.schedule_shapes import schedule_wire, tick_wire
from runwright.http.ava.shapes import job_wire, worker_wire
from runwright.http.ava.wire import JobWire, ScheduleWire, TickWire, WorkerWire
from runwright.http.checks import Problem
from runwright.http.facts import FACTS, FAMILIES
from runwright.http.times import time_wire
from runwright.jobs.model import Job
from runwright.jobs.store.read import fetch_jobs_by_key
from runwright.outbox.signing import hex_signature, standard_signature
from runwright.schedules.model import Schedule, Tick
from runwright.webhooks.service import TEST_EVENT
from runwright.workers.store import fetch_sources
from runwright.workers.worker_events import worker_of

PREFIX: Final = "ava."
_CUSTOM: Final = "custom.*"
"""What tenants and their agents publish."""

_OURS: Final = (*FACTS, ACTION_EVENT, *FAMILIES)
EVENT_PATTERNS: Final = (*(PREFIX + one for one in _OURS), _CUSTOM, "ava.*", "*")
_EVERYTHING: Final = ("ava.*", "*")
_BATCH: Final = 32
"""Jobs that are read together; each may have 2 MiB."""


class WebhookBody(msgspec.Struct, frozen=True):
    """What is sent."""

    id: str
    type: str
    created_at: str
    tenant_id: str
    data: Any


class TestData(msgspec.Struct, frozen=True):
    """The data of a test."""

    webhook_id: str
    message: str = "This is a test of the webhook."


class ScheduleEventWire(ScheduleWire, frozen=True, kw_only=True):
    """A schedule as it was before a tick was judged, and that tick."""

    tick: TickWire


class _Told(msgspec.Struct, frozen=True):
    """What the event of a tick keeps."""

    schedule: Schedule
    tick: Tick


class _Facts(msgspec.Struct, frozen=True):
    """What the event of a job that had not ended says of it."""

    attempt: int
    worker_version: int


def event_name(event: Event) -> str:
    """Return AVA's name of an event."""
    return event.type if event.type.startswith("custom.") else PREFIX + event.type


def check_events(names: Sequence[str]) -> Iterable[Problem]:
    """The rule for the field `events`."""
    if not names:
        yield "", "Must name at least one event."
    if len(set(names)) < len(names):
        yield "", "Must not name an event twice."
    for index, name in enumerate(names[: len(EVENT_PATTERNS)]):
        if name not in EVENT_PATTERNS:
            yield str(index), f"Must be one of: {', '.join(EVENT_PATTERNS)}."
    if len(names) > len(EVENT_PATTERNS):
        yield "", f"Must name at most {len(EVENT_PATTERNS)} events."


def core_patterns(names: Sequence[str]) -> list[str]:
    """Return what names of events mean to the core."""
    if any(name in _EVERYTHING for name in names):
        return [*FAMILIES, ACTION_EVENT, *(name for name in names if name == _CUSTOM)]
    return [name.removeprefix(PREFIX) for name in names]


class AvaStyle:
    """How AVA's webhooks look; see `deliveries.sending.Style`. `stop` ends its reads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._jobs: Batcher[tuple[str, str], Job | None] = Batcher(self._read_jobs, max_items=_BATCH, lanes=2)

    async def stop(self) -> None:
        """Wait for reads under way."""
        await self._jobs.stop()

    async def body(self, event: Event) -> bytes | None:
        data = await self._data(event)
        if data is None:
            return None
        whole = WebhookBody(event.id, event_name(event), time_wire(event.created_at), event.tenant_id, data)
        return msgspec.json.encode(whole)

    async def data(self, event: Event) -> bytes | None:
        """Return what a fact of ours is about, as JSON; None where that is no more."""
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
    ) -> JobWire | WorkerWire | ScheduleEventWire | TestData | msgspec.Raw | None:
        if event.type == TEST_EVENT:
            return TestData(event.subject_id)
        family = event.type.partition(".")[0]
        if family == "job":
            job = await self._jobs.add((event.tenant_id, event.subject_id))
            return None if job is None else job_wire(_as_it_was(job, event))
        if family == "worker":
            worker = worker_of(event, None)
            key = (worker.id, worker.version)
            return worker_wire(worker_of(event, (await fetch_sources(self._db, [key])).get(key)))
        if family == "schedule":
            return None if event.data is None else _schedule_wire(event.data)
        return event.data

    async def _read_jobs(self, keys: Sequence[tuple[str, str]]) -> Sequence[Job | None]:
        found = await fetch_jobs_by_key(self._db, list(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]


def _schedule_wire(data: msgspec.Raw) -> ScheduleEventWire:
    told = msgspec.json.decode(data, type=_Told)
    schedule = schedule_wire(told.schedule)
    values = {name: getattr(schedule, name) for name in ScheduleWire.__struct_fields__}
    return ScheduleEventWire(**values, tick=tick_wire(told.tick))


def _as_it_was(job: Job, event: Event) -> Job:
    """Return the job at the time of its event: one that has ended stays as it is."""
    if event.type not in {"job.queued", "job.started"}:
        return job
    facts = msgspec.json.decode(event.data or b"null", type=_Facts)
    started = event.type == "job.started"
    return msgspec.structs.replace(
        job,
        status=JobStatus.RUNNING if started else JobStatus.QUEUED,
        attempt=facts.attempt,
        worker_version=facts.worker_version,
        started_at=event.created_at if started else None,
        completed_at=None,
        duration_ms=None,
        output=msgspec.Raw(b"null"),
        error=None,
        cancel_requested_at=None,
    )
