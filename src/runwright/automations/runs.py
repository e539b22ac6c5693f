"""Runs, as callers start, watch and end them."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from runwright.automations.errors import not_found
from runwright.automations.fire_sources import manual_fire
from runwright.automations.model import ENDED, Attempt, Kind, Run, RunFilter, RunStatus
from runwright.automations.run_endings import CANCELLED, KIND, Outcome, end_attempt
from runwright.automations.store.definitions import fetch_automation
from runwright.automations.store.firing import Limited, fire
from runwright.automations.store.queue import ask_to_end, job_of_run, lock_live
from runwright.automations.store.runs import fetch_run, list_attempts, list_runs
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import is_id
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.jobs.service import Jobs
from runwright.jobs.tool_calls.store import end_conversation
from runwright.tenants.audit import record

LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 0.25


class Runs:
    """Start, watch and end runs. A call returns after what it did is committed."""

    def __init__(self, db: Database, *, clock: Clock, jobs: Jobs, on_due: Callable[[], None]) -> None:
        """`on_due` is called when a run is due."""
        self._db = db
        self._clock = clock
        self._jobs = jobs
        self._on_due = on_due
        self._waits_over = asyncio.Event()

    def end_waits(self) -> None:
        """Let nobody wait any more: who does gets the run as it is."""
        self._waits_over.set()

    async def start(self, caller: Caller, job_id: str) -> Run:
        """Fire a job now, also a disabled one. Raises NotFoundError, FireLimitError."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            one = await fetch_automation(db, tenant_id=caller.tenant_id, kind=Kind.JOB, id=job_id)
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

    async def get(self, tenant_id: str, run_id: str) -> Run:
        """Return one run of the tenant."""
        run = await fetch_run(self._db, tenant_id=tenant_id, run_id=run_id)
        if run is None:
            raise not_found("run")
        return run

    async def wait(self, tenant_id: str, run_id: str, seconds: float) -> Run:
        """Return a run when it has ended, or as it is after `seconds` or when the waits are over."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + seconds, LOOK_SECONDS
        run = await self.get(tenant_id, run_id)
        while run.status not in ENDED and (left := deadline - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, pause)):
                    await self._waits_over.wait()
            if self._waits_over.is_set():
                break
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
            run = await self.get(tenant_id, run_id)
        return run

    async def list(
        self, tenant_id: str, which: RunFilter, *, before: tuple[datetime, str] | None, limit: int
    ) -> list[Run]:
        """Return up to `limit` runs, the latest first."""
        return await list_runs(self._db, tenant_id=tenant_id, which=which, before=before, limit=limit)

    async def attempts(self, tenant_id: str, run_id: str) -> Sequence[Attempt]:
        """Return the attempts of a run, the first one first."""
        return await list_attempts(self._db, run=await self.get(tenant_id, run_id))

    async def cancel(self, caller: Caller, run_id: str) -> Run:
        """End a run that waits at once, and ask the agent of one that runs to end.

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
            await ask_to_end(db, run_id=run_id, now=now)
            await record(db, caller, "automation.run.cancelled", run_id, now=now, before=live.run.status)
            job_id = None
            if state == "running" and is_id("job", live.run.session_id or ""):
                job_id = await job_of_run(db, run_id=run_id, kind=KIND)
                jobs = {*await end_conversation(db, KIND, run_id), *([] if job_id is None else [job_id])}
            if job_id is None:
                await end_attempt(db, live, Outcome(status=RunStatus.CANCELLED, error=CANCELLED), now)
        for job in sorted(jobs):
            await self._cancel_job(caller, job)
        self._on_due()
        return await self.get(caller.tenant_id, run_id)

    async def _cancel_job(self, caller: Caller, job_id: str) -> None:
        try:
            await self._jobs.cancel(caller, job_id)
        except (ConflictError, NotFoundError):
            return  # it has ended by itself, and the run ends with it
