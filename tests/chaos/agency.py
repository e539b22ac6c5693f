"""A process with what agents need and nothing else: `python -m tests.chaos.agency DSN`.

A router, the followers of jobs and executions, the clock of executions and a caller.
"""

import asyncio
import sys

from tests.integration.agents.telephone import PlainStyle

from runwright.agents.callbacks import AgentLine
from runwright.agents.completion_callbacks import ExecutionCompletionCallbacks
from runwright.agents.opening import ExecutionSink
from runwright.agents.worker_jobs import FOLLOW_KIND, decide_by_jobs
from runwright.core.clock import system_clock
from runwright.db.pool import open_pool
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import JobCompletionCallbacks
from runwright.loops.agent_caller import AgentCaller
from runwright.loops.completion_dispatcher import CompletionDispatcher
from runwright.loops.execution_timeouts import ExecutionTimeouts
from runwright.loops.router import Router
from runwright.outbox.client.client import OutgoingClient
from runwright.outbox.client.url import OutgoingPolicy
from runwright.secrets.keyring import Keyring, SecretBox
from runwright.telemetry.emit import TelemetryEvent
from runwright.telemetry.events import (
    AgentCallNotSettled,
    AgentCallSetAside,
    CompletionCallbackFailed,
    LoopPassFailed,
)

LEASE_SECONDS = 1.0


def _emit(event: TelemetryEvent) -> None:
    if isinstance(event, LoopPassFailed | AgentCallNotSettled | AgentCallSetAside | CompletionCallbackFailed):
        sys.stderr.write(f"{event}\n")


async def work(dsn: str) -> None:
    """Work until killed."""
    db = await open_pool(dsn, by_key=True)
    hints = EventNotifications(origin="agency", send=lambda _: None)
    line = AgentLine(
        OutgoingClient(OutgoingPolicy(dev=True)),
        styles={"test": PlainStyle()},
        secret_box=SecretBox(Keyring([bytes(32)])),
        clock=system_clock,
    )
    caller = AgentCaller(
        db,
        line=line,
        clock=system_clock,
        hints=hints,
        on_jobs=lambda: None,
        emit=_emit,
        lease_seconds=LEASE_SECONDS,
    )
    router = Router(db, sinks={"agt": ExecutionSink(emit=_emit)}, clock=system_clock, hints=hints, emit=_emit)
    jobs = CompletionDispatcher(
        db,
        source=JobCompletionCallbacks(),
        handlers={FOLLOW_KIND: decide_by_jobs},
        clock=system_clock,
        hints=hints,
        emit=_emit,
    )
    executions = CompletionDispatcher(
        db, source=ExecutionCompletionCallbacks(), handlers={}, clock=system_clock, hints=hints, emit=_emit
    )
    clock = ExecutionTimeouts(db, clock=system_clock, emit=_emit)
    await router.start()
    await jobs.start()
    await executions.start()
    await clock.start()
    await caller.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
