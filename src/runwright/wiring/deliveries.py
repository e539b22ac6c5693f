"""What tells events to the outside: the roles `router` and `deliverer`."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from runwright.agents.callbacks import AgentLine
from runwright.agents.completion_callbacks import EndedExecution, ExecutionCompletionCallbacks
from runwright.agents.opening import ExecutionSink
from runwright.agents.worker_jobs import FOLLOW_KIND as EXECUTION_KIND
from runwright.agents.worker_jobs import decide_by_jobs
from runwright.automations.fire_sources import fire_events
from runwright.automations.run_endings import KIND as AUTOMATION
from runwright.automations.run_endings import end_executions, end_jobs
from runwright.config import Settings
from runwright.core.hostnames import parse_trusted
from runwright.http.ava.webhook_events import AvaStyle
from runwright.http.ava.webhook_forms import STYLE as AVA_STYLE
from runwright.http.avala.callbacks import AvalaCallbacks
from runwright.http.avala.webhook_forms import STYLE as AVALA_STYLE
from runwright.http.avala.webhook_style import AvalaStyle
from runwright.jobs.completion_callbacks import EndedJob, JobCompletionCallbacks
from runwright.jobs.tool_calls.service import ToolCalls
from runwright.loops.agent_caller import AgentCaller
from runwright.loops.completion_dispatcher import CompletionDispatcher, JobHandler
from runwright.loops.execution_timeouts import ExecutionTimeouts
from runwright.loops.router import Router
from runwright.loops.sender import Deliverer
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.outbox.sending import PayloadFormat, Sender
from runwright.outbox.store.queue import insert_deliveries
from runwright.secrets.keyring import SecretBox
from runwright.wiring.automations import start_dispatcher
from runwright.wiring.resources import Resources, open_database_pool

STYLE_CONNECTIONS: Final = 2
DELIVERER_CONNECTIONS: Final = 3
CALLER_CONNECTIONS: Final = 3
COMMIT_SECONDS: Final = 0.01


async def start_router(f: Resources, stack: AsyncExitStack) -> None:
    """Start what hands out events and the ends of jobs; each kind of subscriber or follower is named here."""
    router = Router(
        f.db,
        sinks={
            "wh": insert_deliveries,
            "agt": ExecutionSink(emit=f.emit),
            "trg": partial(fire_events, policy=f.policy),
        },
        clock=f.clock,
        hints=f.hints,
        emit=f.emit,
    )
    handlers: dict[str, JobHandler] = {EXECUTION_KIND: decide_by_jobs, AUTOMATION: end_jobs}
    jobs = CompletionDispatcher(
        f.db,
        source=JobCompletionCallbacks(),
        handlers=ToolCalls(handlers, on_submitted=partial(_announce_jobs, f)).handlers(),
        clock=f.clock,
        hints=f.hints,
        emit=f.emit,
    )
    executions = CompletionDispatcher(
        f.db,
        source=ExecutionCompletionCallbacks(),
        handlers={AUTOMATION: end_executions},
        clock=f.clock,
        hints=f.hints,
        emit=f.emit,
    )
    f.signals.on_moved(jobs.stir)
    f.hints.on_appended(executions.stir)
    loops: list[
        Router | CompletionDispatcher[EndedJob] | CompletionDispatcher[EndedExecution] | ExecutionTimeouts
    ] = [
        router,
        jobs,
        executions,
        ExecutionTimeouts(f.db, clock=f.clock, emit=f.emit),
    ]
    for loop in loops:
        stack.push_async_callback(loop.stop)
        await loop.start()
    await start_dispatcher(f, stack)


def _announce_jobs(f: Resources) -> None:
    """Hint at jobs that were made in a transaction which is about to commit."""
    asyncio.get_running_loop().call_later(COMMIT_SECONDS, f.signals.jobs_ready)


def outgoing_policy(settings: Settings) -> OutgoingPolicy:
    return OutgoingPolicy(dev=settings.dev, trusted=tuple(map(parse_trusted, settings.webhook_trusted)))


async def open_sender(f: Resources, stack: AsyncExitStack) -> Sender:
    client = OutgoingClient(outgoing_policy(f.settings))
    ava = AvaStyle(await open_database_pool(f.dsn, STYLE_CONNECTIONS, stack, by_key=True))
    styles: dict[str, PayloadFormat] = {AVA_STYLE: ava, AVALA_STYLE: AvalaStyle(ava.data)}
    stack.push_async_callback(client.stop)
    stack.push_async_callback(ava.stop)
    return Sender(client, styles=styles, secret_box=SecretBox(f.ring), clock=f.clock)


async def start_deliverer(f: Resources, sender: Sender, stack: AsyncExitStack) -> None:
    db = await open_database_pool(f.dsn, DELIVERER_CONNECTIONS, stack, by_key=True)
    deliverer = Deliverer(db, sender=sender, clock=f.clock, hints=f.hints, emit=f.emit)
    stack.push_async_callback(deliverer.stop)
    await deliverer.start()


async def start_agent_caller(f: Resources, stack: AsyncExitStack) -> None:
    db = await open_database_pool(f.dsn, CALLER_CONNECTIONS, stack, by_key=True)
    client = OutgoingClient(outgoing_policy(f.settings))
    stack.push_async_callback(client.stop)
    styles = {AVALA_STYLE: AvalaCallbacks()}
    caller = AgentCaller(
        db,
        line=AgentLine(client, styles=styles, secret_box=SecretBox(f.ring), clock=f.clock),
        clock=f.clock,
        hints=f.hints,
        on_jobs=f.signals.jobs_ready,
        emit=f.emit,
    )
    stack.push_async_callback(caller.stop)
    await caller.start()
