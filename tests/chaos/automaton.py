"""`python -m tests.chaos.automaton DSN BEGIN`: all that fires automations and dispatches their runs.

It says `ready` when it runs, on a clock whose minutes last a second, until it is killed. Whoever
runs the agents' jobs is elsewhere.
"""

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import partial

from tests.chaos.fast_scheduler import fast_clock

from runwright.automations.fire_sources import fire_events
from runwright.automations.run_endings import CALLBACK_HANDLER, end_jobs
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.queue import LiveRun
from runwright.automations.templates import Templates
from runwright.db.pool import PoolConnection, open_pool
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import JOB_ENDS
from runwright.jobs.notifications import JobNotifications
from runwright.loops.automation_dispatcher import AutomationDispatcher
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute
from runwright.loops.router import Router
from runwright.loops.scheduler import Scheduler
from runwright.offload.client import Offload
from runwright.telemetry.emit import TelemetryEvent
from runwright.telemetry.events.automations import RunsDispatched
from runwright.telemetry.events.routing import EventsRouted
from runwright.telemetry.events.schedules import TicksProcessed
from runwright.wiring.automations import tick_handler


def _emit(event: TelemetryEvent) -> None:
    if not isinstance(event, TicksProcessed | RunsDispatched | EventsRouted):
        sys.stderr.write(f"{event}\n")


async def _no_registrations(
    _: PoolConnection, __: LiveRun, ___: Mapping[str, object], ____: datetime
) -> str | None:
    return None


async def main(dsn: str, begin: datetime) -> None:
    """Fire and dispatch until killed."""
    db = await open_pool(dsn, max_size=6, by_key=True)
    notifications = JobNotifications(origin="automaton", send=lambda _: None)
    event_notifications = EventNotifications(origin="automaton", send=lambda _: None)

    def clock() -> datetime:
        return fast_clock(begin)

    loops = (
        Scheduler(
            db,
            clock=clock,
            notifications=notifications,
            emit=_emit,
            handler=tick_handler(AutomationSettings()),
            batch=40,
        ),
        Router(
            db,
            sinks={"trg": partial(fire_events, settings=AutomationSettings())},
            clock=clock,
            event_notifications=event_notifications,
            emit=_emit,
        ),
        CompletionDispatcher(
            db,
            [CompletionRoute(JOB_ENDS, {CALLBACK_HANDLER: end_jobs})],
            clock=clock,
            event_notifications=event_notifications,
            emit=_emit,
        ),
        AutomationDispatcher(
            db,
            settings=AutomationSettings(concurrency=100),
            templates=Templates(Offload()),
            open_execution=_no_registrations,
            clock=clock,
            notifications=notifications,
            event_notifications=event_notifications,
            emit=_emit,
        ),
    )
    for loop in loops:
        await loop.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2])))
