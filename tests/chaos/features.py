"""Automations, agents, tools, bulk operations, builds and writes of the API, behind a proxy that breaks statements.

What serves requests and what loops go through the proxy; jobs are ended, and the outcome is read, past it.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from tests.automations import no_automations
from tests.bundles import no_bundles
from tests.chaos.postgres_proxy import PostgresProxy
from tests.integration.agents.callback_server import CallbackServer, PlainFormat, Received
from tests.integration.agents.world import World as AgentWorld
from tests.integration.automations.test_ingress import Hooks
from tests.integration.loops.build_cluster import BuildCluster
from tests.integration.loops.registry import LocalRegistry
from tests.telemetry import RecordedTelemetry

from runwright.agents.calls import AgentCaller, AgentSubject
from runwright.agents.completion_callbacks import EXECUTION_ENDS
from runwright.agents.model import Action, Decision, EventCreate
from runwright.agents.opening import ExecutionSink
from runwright.agents.publishing import Publisher
from runwright.agents.store.deciding import NewDecision, decide_executions
from runwright.agents.worker_jobs import DECIDE_HANDLER, decide_by_jobs
from runwright.automations.fire_sources import fire_events
from runwright.automations.model import Automation, FireLimit
from runwright.automations.run_endings import CALLBACK_HANDLER, end_executions, end_jobs
from runwright.automations.settings import AutomationSettings
from runwright.automations.templates import Templates
from runwright.automations.webhook_ingress import WebhookPath
from runwright.builds.store import Builds
from runwright.bulk.model import BulkAction
from runwright.bulk.service import BulkOperations, BulkSteps
from runwright.core.clock import system_clock
from runwright.core.errors import ConflictError, UnavailableError
from runwright.core.ids import new_id
from runwright.core.job_state import JobStatus
from runwright.core.roles import Role
from runwright.db.errors import unavailable
from runwright.db.pool import Pool
from runwright.events.notifications import EventNotifications
from runwright.job_views.model import JobFilter
from runwright.jobs.completion_callbacks import JOB_ENDS
from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.service import Jobs
from runwright.loops.automation_dispatcher import AutomationDispatcher
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute
from runwright.loops.pass_loop import PassLoop
from runwright.loops.router import Router, Sink
from runwright.loops.sender import OutboxSender
from runwright.loops.step_runner import StepRunner
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.runtimes.host import Host
from runwright.schedules.model import ScheduleCreate
from runwright.schedules.service import Schedules
from runwright.tenants.api_keys import ApiKeys
from runwright.tenants.model import KeyCreate
from runwright.tool_calls.service import TOOLS_KEY, ToolCalls
from runwright.wiring.automations import open_registered
from runwright.workers.model import NewWorker, RuntimeName, Worker
from runwright.workers.service import Workers

APPROVE: Final = {"action": "approve"}
REVIEW: Final = "custom.review"
FINISH_SECONDS: Final = 0.02
"""Between two looks for jobs to end."""


class Loop(Protocol):
    """A loop."""

    loop: PassLoop

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What the API answers with 503 is no failure."""
    try:
        yield
    except UnavailableError:
        pass
    except Exception as error:
        if not unavailable(error):
            raise


class _Hooks(Hooks):
    """Automations and incoming webhooks, in real time."""

    def clock(self) -> datetime:
        return system_clock()


class _Agents(AgentWorld):
    def clock(self) -> datetime:
        return system_clock()


class Features:
    """All of them; `load` uses each once, `settled` says whether everything that was begun has ended."""

    def __init__(self, direct: Pool, faulty: Pool, proxy: PostgresProxy) -> None:
        self.direct, self.faulty, self.proxy = direct, faulty, proxy
        self.telemetry = RecordedTelemetry()
        self.world, self.agents = _Hooks(direct), _Agents(direct)
        self.notifications = JobNotifications(origin="test", send=lambda _: None)
        self.events = EventNotifications(origin="test", send=lambda _: None)
        self.workers: dict[str, Worker] = {}
        self.automations: dict[str, Automation] = {}
        self.made: dict[str, set[str]] = {"runs": set(), "keys": set(), "workers": set(), "schedules": set()}
        self._asked = 0
        self._number = 0

    @contextlib.asynccontextmanager
    async def running(self, host: Host, registry: LocalRegistry, folder: Path) -> AsyncIterator[None]:
        """Define what there is, and start everything."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.world.offload.stop)
            stack.callback(self.events.stop)
            stack.callback(self.notifications.stop)
            callbacks = CallbackServer(self.agents, callers=0)
            await stack.enter_async_context(callbacks.connected())
            callbacks.answer = self._answer
            await self._define(callbacks.url)
            self.cluster = BuildCluster(self.direct, host, registry, folder)
            stack.push_async_callback(self.cluster.close)
            for loop in await self._open(stack):
                loop.loop._error_pause_seconds = 0.02  # noqa: SLF001
                stack.push_async_callback(loop.stop)
                await loop.start()
            ending = asyncio.create_task(self._end_jobs())
            stack.push_async_callback(_cancelled, ending)
            stack.callback(self.proxy.arm)
            yield

    async def _answer(self, _: Received) -> tuple[int, bytes]:
        """Decide at once and later in turn."""
        self._asked += 1
        kinds = ((200, json.dumps(APPROVE).encode()), (202, b""))
        return kinds[self._asked % len(kinds)]

    async def _define(self, url: str) -> None:
        await self.world.executor()
        caller = self.world.caller()
        tools = {TOOLS_KEY: [{"worker": "tool"}]}
        for name, config in (("agent", {}), ("caller", tools), ("tool", {}), ("broken", {})):
            new = NewWorker(name=name, runtime=RuntimeName.PYTHON, source_code="x", config=config)
            self.workers[name] = await self.world.workers.create(caller, new)
        await self.agents.agent("reviewer", callback_url=url + "/", events=[REVIEW])
        await self.agents.agent("inside", worker_id=self.workers["agent"].id, events=[REVIEW])
        limit = FireLimit(max=100_000, window="1h")
        for agent in ("agent", "caller", "reviewer"):
            self.automations[agent] = await self.world.job_automation(agent=agent, limit=limit)
        self.automations["hook"] = await self.world.hook(limit=100_000)

    async def _open(self, stack: AsyncExitStack) -> Sequence[Loop]:
        db, clock, emit = self.faulty, system_clock, self.telemetry
        self.jobs = Jobs(db, clock=clock, notifications=self.notifications)
        stack.push_async_callback(self.jobs.stop)
        settings = AutomationSettings(concurrency=100)
        templates = Templates(self.world.offload)
        self.services = no_automations(db, self.jobs, settings=settings, templates=templates)
        stack.push_async_callback(self.services.ingress.stop)
        self.publisher = Publisher(db, clock=clock, on_appended=self.events.appended)
        stack.push_async_callback(self.publisher.stop)
        self.keys = ApiKeys(db, clock=clock)
        self.worker_service = Workers(db, no_bundles(db), clock=clock, on_deprecated=_nothing)
        self.schedules = Schedules(db, clock=clock)
        steps = BulkSteps(db, clock=clock, notifications=self.notifications)
        bulk = StepRunner("bulk operations", steps.step, emit=emit)
        self.bulk = BulkOperations(db, clock=clock, on_started=bulk.loop.wake)
        builds = Builds(db, clock=clock, builder_id=new_id("exe", clock()), lease_seconds=30)
        client = OutgoingClient(OutgoingPolicy(dev=True))
        stack.push_async_callback(client.stop)
        caller = AgentCaller(
            client, formats={"test": PlainFormat()}, secret_box=self.agents.secret_box, clock=clock
        )
        subject = AgentSubject(
            caller, clock=clock, on_jobs=_ignore, on_decided=self.events.appended, emit=emit
        )
        tool_calls = ToolCalls(
            {DECIDE_HANDLER: decide_by_jobs, CALLBACK_HANDLER: end_jobs}, on_submitted=_ignore
        )
        routes: list[CompletionRoute[Any]] = [
            CompletionRoute(JOB_ENDS, tool_calls.handlers()),
            CompletionRoute(EXECUTION_ENDS, {CALLBACK_HANDLER: end_executions}),
        ]
        shared: dict[str, Any] = {"clock": clock, "event_notifications": self.events, "emit": emit}
        sinks: dict[str, Sink] = {
            "agt": ExecutionSink(emit=emit),
            "trg": partial(fire_events, settings=settings),
        }
        return [
            Router(db, sinks=sinks, **shared),
            CompletionDispatcher(db, routes, **shared),
            OutboxSender(db, subject, **shared),
            AutomationDispatcher(
                db,
                settings=settings,
                templates=templates,
                open_execution=open_registered,
                notifications=self.notifications,
                **shared,
            ),
            bulk,
            self.cluster.builder(builds=builds),
        ]

    async def load(self) -> None:
        """Use every feature once."""
        self._number += 1
        caller = self.world.caller()
        await self._fail_a_job()
        await self.cluster.deploy(self.workers["agent"], {"n.txt": str(self._number)})
        await asyncio.gather(
            *(self._start(name) for name in ("agent", "caller", "reviewer")),
            self._send_webhook(f"delivery {self._number}"),
            self._attempt(
                self.publisher.publish(caller, EventCreate(type=REVIEW, payload=msgspec.Raw(b"{}")))
            ),
            self._attempt(
                self.bulk.start(caller, BulkAction.RETRY, JobFilter(worker_id=self.workers["broken"].id))
            ),
            self._make(
                "keys", self.keys.create(caller, KeyCreate(tenant_id="ten_a", role=Role.TENANT_VIEWER))
            ),
            self._make(
                "workers",
                self.worker_service.create(
                    caller, NewWorker(name="made", runtime=RuntimeName.PYTHON, source_code="x")
                ),
            ),
            self._make(
                "schedules",
                self.schedules.create(
                    caller,
                    ScheduleCreate(
                        name="s", worker_id=self.workers["tool"].id, cron="0 0 29 2 *", timezone="UTC"
                    ),
                ),
            ),
        )

    async def _attempt(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401  whatever the call returns
        """Return what a call returns, None where it is refused."""
        with contextlib.suppress(ConflictError), refusals():
            return await call
        return None

    async def _make(self, kind: str, call: Awaitable[Any]) -> None:
        made = await self._attempt(call)
        if made is not None:
            self.made[kind].add(made[0].id if isinstance(made, tuple) else made.id)

    async def _start(self, name: str) -> None:
        await self._make("runs", self.services.runs.start(self.world.caller(), self.automations[name].id))
        self.events.due()

    async def _send_webhook(self, delivery_id: str) -> None:
        trigger, body = self.automations["hook"], b"{}"

        async def send() -> Any:  # noqa: ANN401  a run
            ingress = self.services.ingress
            path = WebhookPath(slug="hook", webhook_id=trigger.trigger.webhook_id)
            found = await ingress.find(path)
            assert found is not None
            verified = ingress.verify(found, self._signed(body, delivery_id), body)
            return await ingress.accept(found, verified, body)

        await self._make("runs", send())

    def _signed(self, body: bytes, delivery_id: str) -> Any:  # noqa: ANN401  headers
        self.world.now = system_clock()
        return self.world.signed(body, delivery_id)

    async def _fail_a_job(self) -> None:
        job = await self.world.jobs.submit(self.world.submission(self.workers["broken"].id))
        async with asyncio.timeout(60):
            while await self.world.status(job) is not JobStatus.FAILED:  # noqa: ASYNC110  only the table knows
                await asyncio.sleep(FINISH_SECONDS)

    async def _end_jobs(self) -> None:
        """End every job as its worker would, and decide what agents have accepted."""
        while True:
            self.world.now = system_clock()
            claimed = await self.world.claim()
            if claimed:
                await self.world.finish(*(self._end(one) for one in claimed))
                self.notifications.jobs_ended([one.job_id for one in claimed])
            accepted = await self.direct.fetch(
                "SELECT x.id FROM executions x JOIN agents a ON a.id = x.agent_id WHERE x.status = 'running'"
                " AND a.name = 'reviewer' AND NOT EXISTS (SELECT FROM outbox q WHERE q.id = x.id)"
            )
            decision = Decision(action=Action.APPROVE)
            await decide_executions(
                self.direct,
                [NewDecision(execution_id=row["id"], decision=decision, by="usr_1") for row in accepted],
                system_clock(),
            )
            await asyncio.sleep(FINISH_SECONDS)

    def _end(self, job: ClaimedAttempt) -> Any:  # noqa: ANN401  an end
        if job.worker_id == self.workers["broken"].id:
            return self.world.end_of(job, JobStatus.FAILED)
        output: Mapping[str, object] = APPROVE
        if job.worker_id == self.workers["caller"].id and b"tool_results" not in job.input:
            output = {"tool_calls": [{"id": "1", "worker": "tool", "input": {}}]}
        end = self.world.end_of(job)
        return msgspec.structs.replace(end, output=json.dumps(output).encode())

    async def settled(self) -> bool:
        """Whether everything that was begun has ended."""
        return bool(await self.direct.fetchval(_SETTLED))

    async def unsettled(self) -> str:
        """Return what has not ended, for the message of a test that waited in vain."""
        left = {
            name: [dict(row) for row in await self.direct.fetch(f"SELECT * FROM {name} LIMIT 5")]
            for name in (
                "agent_turns",
                "tool_calls",
                "completion_callbacks",
                "run_queue",
                "outbox",
                "job_queue",
            )
        }
        failures = Counter(repr(event)[:300] for event in self.telemetry.events if "error" in repr(event))
        return f"{left}\n{failures.most_common(12)}"

    async def check(self) -> None:
        """Everything that was accepted exists, ended well, and happened once."""
        for kind, table, action in (
            ("keys", "api_keys WHERE true", "key.create"),
            ("workers", "workers WHERE true", "worker.create"),
            ("schedules", "schedules WHERE owner = 'worker'", "schedule.create"),
        ):
            ids = {row["id"] for row in await self.direct.fetch(f"SELECT id FROM {table}")}
            audited = await self.direct.fetch("SELECT subject_id FROM audit_log WHERE action = $1", action)
            assert self.made[kind] <= ids, kind
            assert sorted(row["subject_id"] for row in audited) == sorted(ids), kind
        runs = {
            row["id"]: row["status"]
            for row in await self.direct.fetch("SELECT id, status FROM automation_runs")
        }
        assert self.made["runs"] <= set(runs), "an accepted run is lost"
        for name, query in _NONE.items():
            assert [dict(row) for row in await self.direct.fetch(query)] == [], name


_SETTLED: Final = """
SELECT NOT EXISTS (SELECT FROM run_queue) AND NOT EXISTS (SELECT FROM event_queue)
   AND NOT EXISTS (SELECT FROM outbox) AND NOT EXISTS (SELECT FROM completion_callbacks)
   AND NOT EXISTS (SELECT FROM job_queue) AND NOT EXISTS (SELECT FROM agent_turns)
   AND NOT EXISTS (SELECT FROM executions WHERE completed_at IS NULL)
   AND NOT EXISTS (SELECT FROM bulk_operations WHERE status = 'running')
   AND NOT EXISTS (SELECT FROM worker_versions WHERE status = 'building')
"""
_NONE: Final = {
    "runs that did not complete at the first attempt": """
        SELECT id, status, attempt, error FROM automation_runs WHERE status <> 'completed' OR attempt <> 1""",
    "runs without exactly one end": """
        SELECT r.id FROM automation_runs r WHERE 1 <> (
            SELECT count(*) FROM events e WHERE e.subject_id = r.id AND e.type = 'automation.run.completed')""",
    "automations with more or fewer jobs than their runs need": """
        SELECT a.id, a.name, count(j.id), count(DISTINCT r.id)
        FROM automations a LEFT JOIN automation_runs r ON r.automation_id = a.id AND r.session_id LIKE 'job%'
        LEFT JOIN jobs j ON j.id = r.session_id GROUP BY a.id HAVING count(j.id) <> count(DISTINCT r.id)""",
    "jobs that automations started and no run knows": """
        SELECT j.id FROM jobs j JOIN automations a ON a.id = j.triggered_by JOIN workers w ON w.id = j.worker_id
        WHERE w.name = 'agent' AND NOT EXISTS (SELECT FROM automation_runs r WHERE r.session_id = j.id)""",
    "agents whose tools were not called once for each run": """
        SELECT * FROM (
            SELECT (SELECT count(*) FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE w.name = 'tool') AS tools,
                   (SELECT count(*) FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE w.name = 'caller') AS turns,
                   (SELECT count(*) FROM automation_runs r JOIN jobs j ON j.id = r.session_id
                    JOIN workers w ON w.id = j.worker_id WHERE w.name = 'caller') AS runs
        ) c WHERE tools <> runs OR turns <> 2 * runs""",
    "executions that were not decided once": """
        SELECT x.id, x.status, x.error FROM executions x WHERE x.status <> 'completed' OR 1 <> (
            SELECT count(*) FROM events e WHERE e.subject_id = x.id AND e.type = 'agent.action')""",
    "events that not every agent got once": """
        SELECT e.position FROM events e WHERE e.type = 'custom.review' AND 2 <> (
            SELECT count(*) FROM executions x WHERE x.position = e.position)""",
    "jobs that were retried more than once": """
        SELECT r.job_id FROM job_retries r GROUP BY 1 HAVING count(*) > 1""",
    "retries without a job": """
        SELECT r.job_id FROM job_retries r WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = r.retried_as)""",
    "bulk operations that counted wrongly": """
        SELECT * FROM (SELECT (SELECT sum(done) FROM bulk_operations) AS done,
                              (SELECT count(*) FROM job_retries) AS retried,
                              (SELECT sum(failed) FROM bulk_operations) AS failed) c
        WHERE done <> retried OR failed > 0""",
    "versions that did not become ready": """
        SELECT v.version, v.error FROM worker_versions v WHERE v.status NOT IN ('ready')""",
}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  only the tables know
            await asyncio.sleep(0.05)


async def _nothing() -> None:
    pass


def _ignore() -> None:
    pass


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    (failure,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(failure, asyncio.CancelledError), failure
