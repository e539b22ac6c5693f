"""The world of jobs with automations in it: time, ticks, events and ends of jobs are moved by hand."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from runwright.automations.dispatch import DispatchResult, dispatch_due
from runwright.automations.filters import RunFilter
from runwright.automations.fire_sources import create_runs, fire_events
from runwright.automations.model import (
    NO_RETRY,
    AnyDefinition,
    Automation,
    AutomationCreate,
    AutomationPatch,
    FireLimit,
    JobDefinition,
    Run,
    RunRetryPolicy,
    ScheduleSpec,
    TriggerDefinition,
)
from runwright.automations.prompts import RunPrompts
from runwright.automations.run_endings import CALLBACK_HANDLER, end_jobs
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.queue import LiveRun
from runwright.automations.templates import Templates
from runwright.core.job_state import JobStatus
from runwright.db.batching import SplitDecision
from runwright.db.pool import Database, PoolConnection
from runwright.events.completion import take_due_callbacks
from runwright.events.publish import publish_event
from runwright.events.store import take_queued_events
from runwright.jobs.completion_callbacks import JOB_ENDS
from runwright.jobs.model import AttemptEnd, ClaimedAttempt
from runwright.offload.client import Offload
from runwright.schedules.firing import FiringSummary, fire_due, handler_by_owner
from runwright.schedules.job_factory import submit_jobs
from runwright.schedules.model import ScheduleOwner
from runwright.workers.model import Worker
from tests.automations import no_automations
from tests.integration.jobs.world import World

Json = Any
"""The value of a body or a field; tests check it."""

EVERY_MINUTE = ScheduleSpec(mode="every", interval="1m")
ONCE_A_YEAR = ScheduleSpec(mode="cron", expr="0 0 1 1 *")


class AutomationWorld(World):
    """Everything needed to fire automations by hand."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.settings = AutomationSettings()
        self.offload = Offload()
        self.templates = Templates(self.offload)
        self.prompts = RunPrompts(self.templates, on_ready=lambda: None)
        self.automations = no_automations(
            db, self.jobs, clock=self.clock, settings=self.settings, templates=self.templates
        )
        runs = partial(create_runs, settings=self.settings)
        self.handler = handler_by_owner({ScheduleOwner.WORKER: submit_jobs, ScheduleOwner.AUTOMATION: runs})
        self.opened: list[Mapping[str, object]] = []
        self.registered: set[str] = set()
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.split = SplitDecision()
        self.opening = asyncio.Event()

    async def agent(self, name: str = "agent", tenant: str = "ten_a") -> Worker:
        """Make a worker that automations can name."""
        worker = await self.worker(tenant)
        await self.db.execute("UPDATE workers SET name = $2 WHERE id = $1", worker.id, name)
        await self.executor()
        return worker

    async def job_automation(
        self,
        *,
        schedule: ScheduleSpec = ONCE_A_YEAR,
        tenant: str = "ten_a",
        limit: FireLimit | None = None,
        retry: RunRetryPolicy = NO_RETRY,
        agent: str = "agent",
        **fields: Json,
    ) -> Automation:
        return await self._create(
            tenant,
            JobDefinition(
                scope="global",
                name=f"job {self.sequence()}",
                agent_name=agent,
                prompt="do it",
                fire_limit=limit or FireLimit(max=100, window="1h"),
                schedule=schedule,
                retry=retry,
                **fields,
            ),
        )

    async def trigger(
        self,
        event: str = "custom.happened",
        *,
        prompt: str = "see {{ .Data.what }}",
        tenant: str = "ten_a",
        agent: str = "agent",
        limit: FireLimit | None = None,
        retry: RunRetryPolicy = NO_RETRY,
        workspace_id: str = "",
        **fields: Json,
    ) -> Automation:
        return await self._create(
            tenant,
            TriggerDefinition(
                scope="workspace" if workspace_id else "global",
                workspace_id=workspace_id,
                name=f"trigger {self.sequence()}",
                agent_name=agent,
                prompt=prompt,
                event=event,
                fire_limit=limit or FireLimit(max=100, window="1h"),
                retry=retry,
                **fields,
            ),
        )

    async def _create(self, tenant: str, definition: AnyDefinition) -> Automation:
        new = AutomationCreate(definition=definition)
        return (await self.automations.definitions.create(self.caller(tenant), new)).automation

    def sequence(self) -> int:
        """Return another number every time."""
        self._number = getattr(self, "_number", 0) + 1
        return self._number

    async def change(self, one: Automation, **fields: Json) -> Automation:
        view = await self.automations.definitions.change(
            self.caller(one.tenant_id), one.kind, one.id, AutomationPatch(fields=fields)
        )
        return view.automation

    async def tick(self) -> FiringSummary:
        return await fire_due(self.db, self.handler, now=self.now, limit=100)

    async def start(self, one: Automation) -> Run:
        return await self.automations.runs.start(self.caller(one.tenant_id), one.id)

    async def publish(self, type: str, tenant: str = "ten_a", subject: str = "", **data: object) -> None:
        async with self.db.acquire() as db, db.transaction():
            await publish_event(db, tenant, type, data, self.now)
            if subject:
                await db.execute("UPDATE events SET subject_id = $1", subject)

    async def route(self) -> int:
        """Do what the router does for triggers; return the number of created runs."""
        async with self.db.acquire() as db, db.transaction():
            pairs = [
                (one.event, who)
                for one in await take_queued_events(db, limit=100)
                for who in one.subscriber_ids
                if who.startswith("trg_")
            ]
            return await fire_events(db, pairs, self.now, settings=self.settings) if pairs else 0

    async def dispatch(self, limit: int = 100) -> DispatchResult:
        """Dispatch due runs, those too whose prompts take long."""
        before = set(self.prompts._ready)  # noqa: SLF001
        first = await self.dispatch_ready(limit)
        # A slow pass may outlast the rendering that it began: what is ready by then is dispatched too.
        if not self.prompts.rendering and self.prompts._ready.keys() <= before:  # noqa: SLF001
            return first
        await self.prompts.settled()
        second = await self.dispatch(limit - first.runs)
        return DispatchResult(runs=first.runs + second.runs, jobs=first.jobs + second.jobs)

    async def dispatch_ready(self, limit: int = 100) -> DispatchResult:
        """Make one pass of the dispatcher."""
        return await dispatch_due(
            self.db,
            self.prompts,
            now=self.now,
            concurrency=self.settings.concurrency,
            limit=limit,
            open_execution=self._open,
            split=self.split,
        )

    async def _open(
        self, db: PoolConnection, live: LiveRun, payload: Mapping[str, object], now: datetime
    ) -> str | None:
        assert db.is_in_transaction()
        assert now == self.now
        self.opening.set()
        await self.may_open.wait()
        if live.plan.agent_name not in self.registered:
            return None
        self.opened.append(payload)
        return f"exn_{live.run.id}"

    async def run_agents(self, status: JobStatus = JobStatus.COMPLETED, output: object = None) -> int:
        """End every waiting job and run its completion callbacks; return the number of jobs."""
        claimed = await self.claim()
        await self.finish(*(self._ended(job, status, output) for job in claimed))
        await self.follow()
        return len(claimed)

    def _ended(self, job: ClaimedAttempt, status: JobStatus, output: object) -> AttemptEnd:
        text = msgspec.json.encode(output) if status is JobStatus.COMPLETED else None
        return msgspec.structs.replace(self.end_of(job, status), output=text)

    async def follow(self) -> None:
        """Run the completion callbacks."""
        async with self.db.acquire() as db, db.transaction():
            due = await take_due_callbacks(db, JOB_ENDS, handlers=[CALLBACK_HANDLER], limit=100, now=self.now)
            await end_jobs(db, [(one.callback.subject_id, one.end) for one in due], self.now)

    async def runs(self, one: Automation | None = None, tenant: str = "ten_a") -> list[Run]:
        """Return runs, the earliest first."""
        which = RunFilter(automation_ids=() if one is None else (one.id,))
        return (await self.automations.runs.list(tenant, which, before=None, limit=1000))[::-1]

    async def statuses(self, one: Automation | None = None) -> list[str]:
        return [run.status.value for run in await self.runs(one)]

    async def again(self, run: Run) -> Run:
        return await self.automations.runs.get(run.tenant_id, run.id)

    async def inputs(self) -> list[Json]:
        """Return what jobs were given, the earliest first."""
        rows = await self.db.fetch("SELECT input FROM jobs ORDER BY id")
        return [msgspec.json.decode(row[0]) for row in rows]

    async def events(self, type: str) -> list[Json]:
        rows = await self.db.fetch(
            "SELECT data, ancestry FROM events WHERE type = $1 ORDER BY position", type
        )
        return [(msgspec.json.decode(row["data"]), row["ancestry"]) for row in rows]

    async def assert_runs_whole(self) -> None:
        """The invariants: a run lives in the queue or has ended, never both; one event per end."""
        wrong = await self.db.fetch(
            """
            SELECT r.id, r.status, q.state FROM automation_runs r LEFT JOIN run_queue q ON q.run_id = r.id
            WHERE (q.run_id IS NULL) <> (r.ended_at IS NOT NULL)
               OR (q.state = 'running') <> (q.run_id IS NOT NULL AND r.status = 'running')
               OR (r.number IS NOT NULL AND r.ended_at IS NOT NULL AND 1 <> (SELECT count(*) FROM events e
                   WHERE e.subject_id = r.id AND e.type = 'automation.run.' || r.status))
            """
        )
        assert wrong == []
