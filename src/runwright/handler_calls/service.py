"""Carries out the calls of running jobs: read and write the state of their worker, emit events, start jobs.

Each call is answered once, whatever happens, in a task of its own on database connections of its own. A job
makes one call at a time; one that makes many is answered later, which slows it down.

Invariants: a write is made in a transaction in which the attempt is proved to be running, by fence and
executor, so a job whose lease was lost changes nothing; everything is done in the name of the attempt's own
tenant and worker. A database that is away, or refuses, becomes an error of the call.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, RunwrightError
from runwright.core.ids import JobId, new_id
from runwright.db.batching import retry_transient
from runwright.db.errors import unavailable
from runwright.db.pool import Database, PoolConnection
from runwright.events.publish import EventScope, publish_event, type_problem
from runwright.handler_calls.store import (
    KEY_PREFIX,
    ChildJob,
    RunningAttempt,
    child_key,
    lock_calling_job,
    start_child,
)
from runwright.jobs.model import CallCounts, ClaimedAttempt
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.submit import count_queued
from runwright.runtimes.handler_calls import (
    ANYTHING,
    EmitEvent,
    GetState,
    HandlerCall,
    Reply,
    SetState,
    StartJob,
    answer,
    refusal,
    stored_json,
)
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.executor import HandlerCallFailed
from runwright.tenants.idempotency import charge_quota
from runwright.tenants.quotas import Quota
from runwright.workers.state import StateWrite, fetch_value, write_value

CALLS_AT_ONCE: Final = 100
CALLS_PER_SECOND: Final = 20
"""A job may make so many calls at once, and then so many in each second; others wait."""
EVENTS_PER_ATTEMPT: Final = 100
JOBS_PER_ATTEMPT: Final = 100
CALL_SECONDS: Final = 5.0
"""How long a call may take, with its retries."""
_MOST_TENANTS: Final = 10_000
_AWAY: Final = "The database is unavailable; the call may have been made or not."


class HandlerCallService:
    """Carries out the calls of one executor's jobs, each in a transaction that proves that the job runs."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        emit: Emit,
        notifications: JobNotifications,
        on_event: Callable[[], None] = lambda: None,
        queued_jobs: int | None = None,
    ) -> None:
        """`on_event` is called after an event was appended; `queued_jobs` is the default quota."""
        self._db = db
        self._clock = clock
        self._emit = emit
        self._notifications = notifications
        self._on_event = on_event
        self._default_queued_jobs = queued_jobs
        self._queued_jobs: dict[str, int | None] = {}
        self._quota = Quota(
            "queued_jobs",
            limit_of=self._queued_jobs.get,
            count=lambda tenant_id, bound: count_queued(db, tenant_id, bound),
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._serve_by_type: Mapping[type, Any] = {
            GetState: self._get,
            SetState: self._set,
            EmitEvent: self._publish,
            StartJob: self._start,
        }

    def serve(self, running: RunningAttempt | None, call: HandlerCall, reply: Reply) -> None:
        """Make a call of a running attempt, and give its answer to `reply`."""
        if running is None:
            reply(refusal("conflict", "The job is not running any more."))
            return
        task = asyncio.get_running_loop().create_task(self._serve(running, call, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel the calls that are being made: their jobs have ended."""
        for task in (left := set(self._tasks)):
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _serve(self, running: RunningAttempt, call: HandlerCall, reply: Reply) -> None:
        await self._await_turn(running.attempt)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                value: bytes = await self._serve_by_type[type(call)](running, call)
        except InvalidError as error:
            reply(refusal(error.code, " ".join(text for one in error.fields.values() for text in one)))
        except RunwrightError as error:
            reply(refusal(error.code, error.message))
        except Exception as error:  # noqa: BLE001  the handler gets an answer, whatever happened
            self._emit(HandlerCallFailed(call=type(call).__name__, error=error_text(error)))
            away = unavailable(error) or isinstance(error, TimeoutError)
            reply(refusal("unavailable", _AWAY) if away else refusal("internal", "The call failed."))
        else:
            reply(answer(value))

    async def _await_turn(self, attempt: ClaimedAttempt) -> None:
        """Wait until the attempt may make another call."""
        now = asyncio.get_running_loop().time()
        counts = attempt.calls
        if counts is None:
            counts = attempt.calls = CallCounts(CALLS_AT_ONCE, now)
        refill = (now - counts.refilled_at) * CALLS_PER_SECOND
        counts.tokens, counts.refilled_at = min(CALLS_AT_ONCE, counts.tokens + refill) - 1, now
        if counts.tokens < 0:
            await asyncio.sleep(-counts.tokens / CALLS_PER_SECOND)

    async def _get(self, running: RunningAttempt, call: GetState) -> bytes:
        attempt = running.attempt
        found = await retry_transient(
            lambda: fetch_value(
                self._db, tenant_id=attempt.tenant_id, worker_id=attempt.worker_id, key=call.key
            ),
            seconds=CALL_SECONDS / 2,
        )
        return b"null" if found is None else bytes(found.value)

    async def _set(self, running: RunningAttempt, call: SetState) -> bytes:
        attempt = running.attempt
        expect = bytes(call.expect)
        write = StateWrite(
            tenant_id=attempt.tenant_id,
            worker_id=attempt.worker_id,
            key=call.key,
            value=stored_json(bytes(call.value)),
            expect=stored_json(expect) if expect != bytes(ANYTHING) else None,
            job_id=attempt.job_id,
        )

        async def send() -> bool:
            async with self._db.acquire() as db, db.transaction():
                await lock_calling_job(db, running)
                return await write_value(db, write, self._clock())

        # One that expects a value is not sent again: it would not find it after a first try that succeeded.
        written = await (send() if expect else retry_transient(send, seconds=CALL_SECONDS / 2))
        return b"true" if written else b"false"

    async def _publish(self, running: RunningAttempt, call: EmitEvent) -> bytes:
        if problem := type_problem(call.type):
            raise InvalidError({"type": [problem]})
        counts = _counts_of(running)
        if counts.events >= EVENTS_PER_ATTEMPT:
            raise ConflictError(f"A job may emit {EVENTS_PER_ATTEMPT} events.")
        counts.events += 1
        async with self._db.acquire() as db, db.transaction():
            job = await lock_calling_job(db, running)
            published = await publish_event(
                db,
                job.tenant_id,
                call.type,
                msgspec.Raw(stored_json(bytes(call.payload))),
                self._clock(),
                None if call.key is None else f"{KEY_PREFIX}{job.id}:{call.key}",
                ancestry=job.path or (),
                scope=EventScope(subject_id=job.id),
            )
        self._on_event()
        return msgspec.json.encode(published.event.id)

    async def _start(self, running: RunningAttempt, call: StartJob) -> bytes:
        counts = _counts_of(running)
        if counts.jobs >= JOBS_PER_ATTEMPT:
            raise ConflictError(f"A job may start {JOBS_PER_ATTEMPT} others.")
        counts.jobs += 1
        now = self._clock()
        key = None if call.key is None else child_key(running.attempt.job_id, call.key)
        await self._charge(running.attempt.tenant_id, key, now)
        child = ChildJob(
            id=JobId(new_id("job", now)),
            worker=call.worker,
            input=stored_json(bytes(call.input)),
            key=call.key,
        )

        async def send(db: PoolConnection) -> JobId:
            return await start_child(db, await lock_calling_job(db, running), child, now)

        started = await retry_transient(lambda: self._in_transaction(send), seconds=CALL_SECONDS / 2)
        self._notifications.jobs_ready()
        return msgspec.json.encode(started)

    async def _in_transaction(self, send: Callable[[PoolConnection], Any]) -> Any:  # noqa: ANN401  what `send` returns
        async with self._db.acquire() as db, db.transaction():
            return await send(db)

    async def _charge(self, tenant_id: str, key: str | None, now: datetime) -> None:
        """Charge one queued job to the tenant's quota; QuotaError where that is exhausted."""
        own = await self._db.fetchval("SELECT queued_jobs FROM tenants WHERE id = $1", tenant_id)
        if len(self._queued_jobs) >= _MOST_TENANTS:
            self._queued_jobs.clear()
        self._queued_jobs[tenant_id] = self._default_queued_jobs if own is None else own
        await charge_quota(self._quota, self._db, key, tenant_id=tenant_id, now=now)


def _counts_of(running: RunningAttempt) -> CallCounts:
    counts = running.attempt.calls
    assert counts is not None  # noqa: S101  made before the first call is
    return counts
