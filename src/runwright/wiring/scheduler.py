"""The role `scheduler`."""

from contextlib import AsyncExitStack

from runwright.loops.scheduler import Scheduler
from runwright.wiring.automations import tick_handler
from runwright.wiring.resources import Resources


async def start_scheduler(f: Resources, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(
        f.db, clock=f.clock, notifications=f.job_notifications, emit=f.emit, handler=tick_handler(f.policy)
    )
    stack.push_async_callback(scheduler.stop)
    await scheduler.start()
