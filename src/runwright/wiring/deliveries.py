"""The roles `router` and `deliverer`: event routing, webhooks and agent callbacks."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from runwright.agents.calls import AgentCaller, AgentSubject
from runwright.agents.completion_callbacks import EXECUTION_ENDS, EndedExecution
from runwright.agents.opening import ExecutionSink
from runwright.agents.worker_jobs import DECIDE_HANDLER, decide_by_jobs
from runwright.automations.fire_sources import fire_events
from runwright.automations.run_endings import CALLBACK_HANDLER as AUTOMATION
from runwright.automations.run_endings import end_executions, end_jobs
from runwright.config import Settings
from runwright.core.hostnames import parse_trusted
from runwright.http.ava.webhooks.payloads import AvaPayloadFormat
from runwright.http.ava.webhooks.schemas import FORMAT as AVA_FORMAT
from runwright.http.avala.agents.callbacks import AvalaCallbackFormat
from runwright.http.avala.webhooks.payloads import AvalaPayloadFormat
from runwright.http.avala.webhooks.schemas import FORMAT as AVALA_FORMAT
from runwright.jobs.completion_callbacks import JOB_ENDS, EndedJob
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute, JobHandler
from runwright.loops.execution_timeouts import ExecutionTimeouts
from runwright.loops.router import Router
from runwright.loops.sender import OutboxSender
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.secrets.keyring import SecretBox
from runwright.tool_calls.service import ToolCalls
from runwright.webhooks.sending import PayloadFormat, WebhookSender, WebhookSubject
from runwright.webhooks.store.outgoing import insert_deliveries
from runwright.wiring.automations import start_dispatcher
from runwright.wiring.resources import Resources, open_database_pool

FORMAT_CONNECTIONS: Final = 2
SENDER_CONNECTIONS: Final = 3
COMMIT_SECONDS: Final = 0.01


async def start_router(f: Resources, stack: AsyncExitStack) -> None:
    """Start the loops of the role `router`; every kind of subscriber and callback is registered here."""
    router = Router(
        f.db,
        sinks={
            "wh": insert_deliveries,
            "agt": ExecutionSink(emit=f.emit),
            "trg": partial(fire_events, policy=f.policy),
        },
        clock=f.clock,
        event_notifications=f.event_notifications,
        emit=f.emit,
    )
    completions = CompletionDispatcher(
        f.db, _completion_routes(f), clock=f.clock, event_notifications=f.event_notifications, emit=f.emit
    )
    f.job_notifications.on_changed(completions.notify)
    f.event_notifications.on_appended(completions.notify)
    timeouts = ExecutionTimeouts(f.db, clock=f.clock, emit=f.emit)
    loops: tuple[Router | CompletionDispatcher | ExecutionTimeouts, ...] = (router, completions, timeouts)
    for loop in loops:
        stack.push_async_callback(loop.stop)
        await loop.start()
    await start_dispatcher(f, stack)


def _completion_routes(f: Resources) -> tuple[CompletionRoute[EndedJob], CompletionRoute[EndedExecution]]:
    handlers: dict[str, JobHandler] = {DECIDE_HANDLER: decide_by_jobs, AUTOMATION: end_jobs}
    tool_calls = ToolCalls(handlers, on_submitted=partial(_announce_jobs, f))
    return (
        CompletionRoute(JOB_ENDS, tool_calls.handlers()),
        CompletionRoute(EXECUTION_ENDS, {AUTOMATION: end_executions}),
    )


def _announce_jobs(f: Resources) -> None:
    """Notify executors of jobs that were inserted in a transaction that is about to commit."""
    asyncio.get_running_loop().call_later(COMMIT_SECONDS, f.job_notifications.jobs_ready)


def outgoing_policy(settings: Settings) -> OutgoingPolicy:
    return OutgoingPolicy(dev=settings.dev, trusted=tuple(map(parse_trusted, settings.webhook_trusted)))


async def open_sender(f: Resources, stack: AsyncExitStack) -> WebhookSender:
    client = _open_client(f, stack)
    ava = AvaPayloadFormat(await open_database_pool(f.dsn, FORMAT_CONNECTIONS, stack, by_key=True))
    formats: dict[str, PayloadFormat] = {AVA_FORMAT: ava, AVALA_FORMAT: AvalaPayloadFormat(ava.data)}
    stack.push_async_callback(ava.stop)
    return WebhookSender(client, formats=formats, secret_box=SecretBox(f.ring), clock=f.clock)


async def start_senders(f: Resources, sender: WebhookSender, stack: AsyncExitStack) -> None:
    """Start one loop for each kind of row in the outbox, so that neither can fill the other's limits."""
    webhooks = OutboxSender(
        await open_database_pool(f.dsn, SENDER_CONNECTIONS, stack, by_key=True),
        WebhookSubject(sender, clock=f.clock, emit=f.emit),
        clock=f.clock,
        event_notifications=f.event_notifications,
        emit=f.emit,
    )
    stack.push_async_callback(webhooks.stop)
    await webhooks.start()
    caller = AgentCaller(
        _open_client(f, stack),
        formats={AVALA_FORMAT: AvalaCallbackFormat()},
        secret_box=SecretBox(f.ring),
        clock=f.clock,
    )
    agents = OutboxSender(
        await open_database_pool(f.dsn, SENDER_CONNECTIONS, stack, by_key=True),
        AgentSubject(
            caller,
            clock=f.clock,
            on_jobs=f.job_notifications.jobs_ready,
            on_decided=f.event_notifications.appended,
            emit=f.emit,
        ),
        clock=f.clock,
        event_notifications=f.event_notifications,
        emit=f.emit,
    )
    stack.push_async_callback(agents.stop)
    await agents.start()


def _open_client(f: Resources, stack: AsyncExitStack) -> OutgoingClient:
    client = OutgoingClient(outgoing_policy(f.settings))
    stack.push_async_callback(client.stop)
    return client
