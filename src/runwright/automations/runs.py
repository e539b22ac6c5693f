"""Start, read, wait for, retry and cancel runs."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from runwright.automations.errors import not_found
from runwright.automations.filters import RunFilter
from runwright.automations.fire_sources import manual_fire
from runwright.automations.ids import random_id
from runwright.automations.model import ENDED, AutomationKind, Run, RunAttempt, RunStatus
from runwright.automations.run_endings import CALLBACK_HANDLER, CANCELLED, RunOutcome, end_attempt
from runwright.automations.store.definitions import fetch_automation
from runwright.automations.store.firing import Fire, Limited, fire
from runwright.automations.store.queue import (
    RunQueueState,
    fetch_ended,
    job_of_run,
    lock_live,
    request_cancel,
)
from runwright.automations.store.runs import fetch_run, list_attempts, list_runs
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import JobId, RunId, is_id
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.jobs.service import Jobs
from runwright.tenants.audit import record
from runwright.tool_calls.store import abandon_turns

FIRST_POLL_SECONDS: Final = 0.02
LONGEST_POLL_SECONDS: Final = 0.25


class AutomationRuns:
    """Start, read, wait for, retry and cancel runs. A call returns after its changes are committed."""

    def __init__(self, db: Database, *, clock: Clock, jobs: Jobs, on_due: Callable[[], None]) -> None:
        """`on_due` is called when a run is due."""
        self._db = db
        self._clock = clock
        self._jobs = jobs
        self._on_due = on_due
        self._waits_ended = asyncio.Event()

    def end_waits(self) -> None:
        """End all waits: they return the run in its current state."""
        self._waits_ended.set()

    async def start(self, caller: Caller, job_id: str) -> Run:
        """Fire a job now, even if it is disabled. Raises NotFoundError, FireLimitError."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            one = await fetch_automation(db, tenant_id=caller.tenant_id, kind=AutomationKind.JOB, id=job_id)
            if one is None:
                raise not_found("job")
            [answer] = await fire(db, [manual_fire(one.id)], now)
            if answer is None:
                raise not_found("job")
            if isinstance(answer, Limited):
                raise answer.error
            await record(db, caller, "automation.triggered", one.id, now=now, after=answer.id)
        self._on_due()
        return answer

    async def retry(self, caller: Caller, run_id: RunId) -> Run:
        """Fire an ended run again, with what fired it then, as its automation is defined now.

        The new run has the fire id and the scheduled time of the first. Raises NotFoundError, ConflictError
        (it has not ended, or its automation was deleted), FireLimitError.
        """
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            found = await fetch_ended(db, tenant_id=caller.tenant_id, run_id=run_id)
            if found is None:
                raise not_found("run")
            run, cause, context, ancestry = found
            if run.status not in ENDED:
                raise ConflictError(f"automation: run has not ended yet: {run.status.value}")
            again = Fire(
                automation_id=run.automation_id,
                run_id=random_id("run"),
                cause=cause,
                fire_id=run.fire_id,
                scheduled_at=run.scheduled_at,
                context=context,
                ancestry=ancestry,
            )
            [answer] = await fire(db, [again], now)
            if answer is None:
                raise ConflictError(f"automation: the {run.kind.value} of this run was deleted")
            if isinstance(answer, Limited):
                raise answer.error
            await record(db, caller, "automation.run.retried", run_id, now=now, after=answer.id)
        self._on_due()
        return answer

    async def get(self, tenant_id: str, run_id: RunId) -> Run:
        """Return one run of the tenant."""
        run = await fetch_run(self._db, tenant_id=tenant_id, run_id=run_id)
        if run is None:
            raise not_found("run")
        return run

    async def wait(self, tenant_id: str, run_id: RunId, seconds: float) -> Run:
        """Return a run when it has ended, or in its current state after `seconds` or when waits end."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + seconds, FIRST_POLL_SECONDS
        run = await self.get(tenant_id, run_id)
        while run.status not in ENDED and (left := deadline - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, pause)):
                    await self._waits_ended.wait()
            if self._waits_ended.is_set():
                break
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
            run = await self.get(tenant_id, run_id)
        return run

    async def list(
        self, tenant_id: str, which: RunFilter, *, before: tuple[datetime, str] | None, limit: int
    ) -> list[Run]:
        """Return up to `limit` runs, newest first."""
        return await list_runs(self._db, tenant_id=tenant_id, which=which, before=before, limit=limit)

    async def attempts(self, tenant_id: str, run_id: RunId) -> Sequence[RunAttempt]:
        """Return the attempts of a run in order."""
        return await list_attempts(self._db, run=await self.get(tenant_id, run_id))

    async def cancel(self, caller: Caller, run_id: RunId) -> Run:
        """Cancel a waiting run, or request the cancellation of a running one from its agent.

        Raises NotFoundError, ConflictError (it has ended).
        """
        now = self._clock()
        jobs: set[str] = set()
        async with self._db.acquire() as db, db.transaction():
            found = await lock_live(db, tenant_id=caller.tenant_id, run_id=run_id)
            if found is None:
                run = await fetch_run(db, tenant_id=caller.tenant_id, run_id=run_id)
                if run is None:
                    raise not_found("run")
                raise ConflictError(f"automation: run has already ended: {run.status.value}")
            live, state = found
            await request_cancel(db, run_id=run_id, now=now)
            await record(db, caller, "automation.run.cancelled", run_id, now=now, before=live.run.status)
            job_id = None
            if state is RunQueueState.RUNNING and is_id("job", live.run.session_id or ""):
                job_id = await job_of_run(db, run_id=run_id, kind=CALLBACK_HANDLER)
                jobs = {
                    *await abandon_turns(db, kind=CALLBACK_HANDLER, subject_id=run_id),
                    *([] if job_id is None else [job_id]),
                }
            if job_id is None:
                await end_attempt(db, live, RunOutcome(status=RunStatus.CANCELLED, error=CANCELLED), now)
        for job in sorted(jobs):
            await self._cancel_job(caller, job)
        self._on_due()
        return await self.get(caller.tenant_id, run_id)

    async def _cancel_job(self, caller: Caller, job_id: str) -> None:
        try:
            await self._jobs.cancel(caller, JobId(job_id))
        except (ConflictError, NotFoundError):
            return  # it has ended, and the run ends with it
