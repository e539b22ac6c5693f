"""The role `scheduler`."""

from contextlib import AsyncExitStack

from runwright.loops.scheduler import Scheduler
from runwright.wiring.automations import make_ticks
from runwright.wiring.resources import Resources


async def start_scheduler(f: Resources, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(f.db, clock=f.clock, signals=f.signals, emit=f.emit, make=make_ticks(f.policy))
    stack.push_async_callback(scheduler.stop)
    await scheduler.start()
