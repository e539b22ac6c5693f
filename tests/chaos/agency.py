"""A process with what agents need and nothing else: `python -m tests.chaos.agency DSN`.

A router, a completion dispatcher, the timeouts of executions and a sender.
"""

import asyncio
import sys

import msgspec
from tests.integration.agents.callback_server import PlainFormat

from runwright.agents.calls import AgentCaller, AgentSubject
from runwright.agents.completion_callbacks import EXECUTION_ENDS
from runwright.agents.opening import ExecutionSink
from runwright.agents.store.calls import AGENT_QUEUE
from runwright.agents.worker_jobs import DECIDE_HANDLER, decide_by_jobs
from runwright.core.clock import system_clock
from runwright.db.pool import open_pool
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import JOB_ENDS
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute
from runwright.loops.execution_timeouts import ExecutionTimeouts
from runwright.loops.router import Router
from runwright.loops.sender import OutboxSender
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.telemetry.emit import TelemetryEvent
from runwright.telemetry.events.jobs import CompletionCallbackFailed
from runwright.telemetry.events.outbox import OutboxNotSettled, OutboxSetAside
from runwright.telemetry.events.server import LoopPassFailed

LEASE_SECONDS = 1.0


def _emit(event: TelemetryEvent) -> None:
    if isinstance(event, LoopPassFailed | OutboxNotSettled | OutboxSetAside | CompletionCallbackFailed):
        sys.stderr.write(f"{event}\n")


async def work(dsn: str) -> None:
    """Work until killed."""
    db = await open_pool(dsn, by_key=True)
    event_notifications = EventNotifications(origin="agency", send=lambda _: None)
    caller = AgentCaller(
        OutgoingClient(OutgoingPolicy(dev=True)),
        formats={"test": PlainFormat()},
        secret_box=SecretBox(Keyring([bytes(32)])),
        clock=system_clock,
    )
    subject = AgentSubject(
        caller,
        clock=system_clock,
        on_jobs=lambda: None,
        on_decided=event_notifications.appended,
        emit=_emit,
        queue=msgspec.structs.replace(AGENT_QUEUE, lease_seconds=LEASE_SECONDS),
    )
    sender = OutboxSender(
        db, subject, clock=system_clock, event_notifications=event_notifications, emit=_emit
    )
    router = Router(
        db,
        sinks={"agt": ExecutionSink(emit=_emit)},
        clock=system_clock,
        event_notifications=event_notifications,
        emit=_emit,
    )
    completions = CompletionDispatcher(
        db,
        [CompletionRoute(JOB_ENDS, {DECIDE_HANDLER: decide_by_jobs}), CompletionRoute(EXECUTION_ENDS, {})],
        clock=system_clock,
        event_notifications=event_notifications,
        emit=_emit,
    )
    timeouts = ExecutionTimeouts(db, clock=system_clock, emit=_emit)
    await router.start()
    await completions.start()
    await timeouts.start()
    await sender.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
