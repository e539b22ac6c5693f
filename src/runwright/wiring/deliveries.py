"""What tells events to the outside: the roles `router` and `deliverer`."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from runwright.agents.calling import AgentLine
from runwright.agents.follow import EndedExecution, FollowedExecutions
from runwright.agents.jobs import FOLLOW_KIND as EXECUTION_KIND
from runwright.agents.jobs import decide_by_jobs
from runwright.agents.opening import ExecutionSink
from runwright.automations.ending import KIND as AUTOMATION
from runwright.automations.ending import end_executions, end_jobs
from runwright.automations.sources import fire_events
from runwright.config import Settings
from runwright.core.hosts import parse_trusted
from runwright.deliveries.client.client import OutgoingClient
from runwright.deliveries.client.target import OutgoingPolicy
from runwright.deliveries.sending import Sender, Style
from runwright.deliveries.store.queue import insert_deliveries
from runwright.engine.agent_caller import AgentCaller
from runwright.engine.agent_clock import AgentClock
from runwright.engine.deliverer import Deliverer
from runwright.engine.follower import Follower, JobHandler
from runwright.engine.router import Router
from runwright.http.ava.webhook_events import AvaStyle
from runwright.http.ava.webhook_forms import STYLE as AVA_STYLE
from runwright.http.avala.callbacks import AvalaCallbacks
from runwright.http.avala.webhook_forms import STYLE as AVALA_STYLE
from runwright.http.avala.webhook_style import AvalaStyle
from runwright.jobs.conversations import Conversations
from runwright.jobs.follow import EndedJob, FollowedJobs
from runwright.wiring.automations import start_dispatcher
from runwright.wiring.foundation import Foundation, open_database_pool
from runwright.workers.vault.seals import EndpointSeals

STYLE_CONNECTIONS: Final = 2
DELIVERER_CONNECTIONS: Final = 3
CALLER_CONNECTIONS: Final = 3
COMMIT_SECONDS: Final = 0.01


async def start_router(f: Foundation, stack: AsyncExitStack) -> None:
    """Start what hands out events and the ends of jobs; each kind of subscriber or follower is named here."""
    router = Router(
        f.db,
        sinks={
            "wh": insert_deliveries,
            "agt": ExecutionSink(notice=f.notice),
            "trg": partial(fire_events, policy=f.policy),
        },
        clock=f.clock,
        hints=f.hints,
        notice=f.notice,
    )
    handlers: dict[str, JobHandler] = {EXECUTION_KIND: decide_by_jobs, AUTOMATION: end_jobs}
    jobs = Follower(
        f.db,
        source=FollowedJobs(),
        handlers=Conversations(handlers, on_submitted=partial(_announce_jobs, f)).handlers(),
        clock=f.clock,
        hints=f.hints,
        notice=f.notice,
    )
    executions = Follower(
        f.db,
        source=FollowedExecutions(),
        handlers={AUTOMATION: end_executions},
        clock=f.clock,
        hints=f.hints,
        notice=f.notice,
    )
    f.signals.on_moved(jobs.stir)
    f.hints.on_appended(executions.stir)
    loops: list[Router | Follower[EndedJob] | Follower[EndedExecution] | AgentClock] = [
        router,
        jobs,
        executions,
        AgentClock(f.db, clock=f.clock, notice=f.notice),
    ]
    for loop in loops:
        stack.push_async_callback(loop.stop)
        await loop.start()
    await start_dispatcher(f, stack)


def _announce_jobs(f: Foundation) -> None:
    """Hint at jobs that were made in a transaction which is about to commit."""
    asyncio.get_running_loop().call_later(COMMIT_SECONDS, f.signals.jobs_ready)


def outgoing_policy(settings: Settings) -> OutgoingPolicy:
    return OutgoingPolicy(dev=settings.dev, trusted=tuple(map(parse_trusted, settings.webhook_trusted)))


async def open_sender(f: Foundation, stack: AsyncExitStack) -> Sender:
    client = OutgoingClient(outgoing_policy(f.settings))
    ava = AvaStyle(await open_database_pool(f.dsn, STYLE_CONNECTIONS, stack, by_key=True))
    styles: dict[str, Style] = {AVA_STYLE: ava, AVALA_STYLE: AvalaStyle(ava.data)}
    stack.push_async_callback(client.stop)
    stack.push_async_callback(ava.stop)
    return Sender(client, styles=styles, seals=EndpointSeals(f.ring), clock=f.clock)


async def start_deliverer(f: Foundation, sender: Sender, stack: AsyncExitStack) -> None:
    db = await open_database_pool(f.dsn, DELIVERER_CONNECTIONS, stack, by_key=True)
    deliverer = Deliverer(db, sender=sender, clock=f.clock, hints=f.hints, notice=f.notice)
    stack.push_async_callback(deliverer.stop)
    await deliverer.start()


async def start_agent_caller(f: Foundation, stack: AsyncExitStack) -> None:
    db = await open_database_pool(f.dsn, CALLER_CONNECTIONS, stack, by_key=True)
    client = OutgoingClient(outgoing_policy(f.settings))
    stack.push_async_callback(client.stop)
    styles = {AVALA_STYLE: AvalaCallbacks()}
    caller = AgentCaller(
        db,
        line=AgentLine(client, styles=styles, seals=EndpointSeals(f.ring), clock=f.clock),
        clock=f.clock,
        hints=f.hints,
        on_jobs=f.signals.jobs_ready,
        notice=f.notice,
    )
    stack.push_async_callback(caller.stop)
    await caller.start()
