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
from runwright.core.addresses import parse_address
from runwright.core.hostnames import parse_trusted
from runwright.db.connection import FINISH, READ
from runwright.http.ava.webhooks.payloads import AvaPayloadFormat
from runwright.http.ava.webhooks.schemas import FORMAT as AVA_FORMAT
from runwright.http.avala.payload_formats import AvalaCallbackFormat, AvalaPayloadFormat
from runwright.http.avala.webhooks.schemas import FORMAT as AVALA_FORMAT
from runwright.jobs.completion_callbacks import JOB_ENDS, EndedJob
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute, JobHandler
from runwright.loops.execution_timeouts import ExecutionTimeouts
from runwright.loops.question_deadlines import QuestionDeadlines
from runwright.loops.router import Router
from runwright.loops.sender import OutboxSender
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy, OwnIngress
from runwright.secrets.keyring import SecretBox
from runwright.tool_calls.service import ToolCalls
from runwright.webhooks.sending import PayloadFormat, WebhookSender, WebhookSubject
from runwright.webhooks.store.outgoing import insert_deliveries
from runwright.wiring.automations import start_dispatcher
from runwright.wiring.questions import open_questions
from runwright.wiring.resources import Resources, open_database_pool, start_loop

FORMAT_CONNECTIONS: Final = 2
SENDER_CONNECTIONS: Final = 6
"""Three for each kind: it takes no more at once. Idle, both look over the same one."""
COMMIT_SECONDS: Final = 0.01


async def start_router(res: Resources, stack: AsyncExitStack) -> None:
    """Start the loops of the role `router`; every kind of subscriber and callback is registered here."""
    router = Router(
        res.db,
        sinks={
            "wh": insert_deliveries,
            "agt": ExecutionSink(emit=res.emit),
            "trg": partial(fire_events, settings=res.automation_settings),
        },
        clock=res.clock,
        event_notifications=res.event_notifications,
        emit=res.emit,
    )
    completions = CompletionDispatcher(
        res.db,
        _completion_routes(res),
        clock=res.clock,
        event_notifications=res.event_notifications,
        emit=res.emit,
    )
    res.job_notifications.on_changed(completions.notify)
    res.event_notifications.on_appended(completions.notify)
    timeouts = ExecutionTimeouts(res.db, clock=res.clock, emit=res.emit)
    deadlines = QuestionDeadlines(res.db, open_questions(res, res.db), clock=res.clock, emit=res.emit)
    for loop in (router, completions, timeouts, deadlines):
        await start_loop(loop, stack)
    await start_dispatcher(res, stack)


def _completion_routes(res: Resources) -> tuple[CompletionRoute[EndedJob], CompletionRoute[EndedExecution]]:
    handlers: dict[str, JobHandler] = {DECIDE_HANDLER: decide_by_jobs, AUTOMATION: end_jobs}
    tool_calls = ToolCalls(handlers, on_submitted=partial(_announce_jobs, res))
    return (
        CompletionRoute(JOB_ENDS, tool_calls.handlers()),
        CompletionRoute(EXECUTION_ENDS, {AUTOMATION: end_executions}),
    )


def _announce_jobs(res: Resources) -> None:
    """Notify executors of jobs that were inserted in a transaction that is about to commit."""
    asyncio.get_running_loop().call_later(COMMIT_SECONDS, res.job_notifications.jobs_ready)


def outgoing_policy(settings: Settings) -> OutgoingPolicy:
    """Return which destinations webhooks may have; the demonstration's may lead to its own triggers."""
    address = parse_address(settings.host)
    own = None
    if settings.demo and settings.port and address is not None and address.is_loopback:
        own = OwnIngress(address, settings.port)
    trusted = tuple(map(parse_trusted, settings.webhook_trusted))
    return OutgoingPolicy(dev=settings.dev, trusted=trusted, own=own)


async def open_sender(res: Resources, stack: AsyncExitStack) -> WebhookSender:
    client = _open_client(res, stack)
    db = await open_database_pool(res, READ, FORMAT_CONNECTIONS, stack, by_key=True, lazy=True)
    ava = AvaPayloadFormat(db)
    formats: dict[str, PayloadFormat] = {AVA_FORMAT: ava, AVALA_FORMAT: AvalaPayloadFormat(ava.data)}
    stack.push_async_callback(ava.stop)
    return WebhookSender(client, formats=formats, secret_box=SecretBox(res.ring), clock=res.clock)


async def start_senders(res: Resources, sender: WebhookSender, stack: AsyncExitStack) -> None:
    """Start one loop for each kind of row in the outbox, so that neither can fill the other's limits."""
    db = await open_database_pool(res, FINISH, SENDER_CONNECTIONS, stack, by_key=True)
    webhooks = OutboxSender(
        db,
        WebhookSubject(sender, clock=res.clock, emit=res.emit),
        clock=res.clock,
        event_notifications=res.event_notifications,
        emit=res.emit,
    )
    await start_loop(webhooks, stack)
    caller = AgentCaller(
        _open_client(res, stack),
        formats={AVALA_FORMAT: AvalaCallbackFormat()},
        secret_box=SecretBox(res.ring),
        clock=res.clock,
    )
    agents = OutboxSender(
        db,
        AgentSubject(
            caller,
            clock=res.clock,
            on_jobs=res.job_notifications.jobs_ready,
            on_decided=res.event_notifications.appended,
            emit=res.emit,
        ),
        clock=res.clock,
        event_notifications=res.event_notifications,
        emit=res.emit,
    )
    await start_loop(agents, stack)


def _open_client(res: Resources, stack: AsyncExitStack) -> OutgoingClient:
    client = OutgoingClient(outgoing_policy(res.settings))
    stack.push_async_callback(client.stop)
    return client
