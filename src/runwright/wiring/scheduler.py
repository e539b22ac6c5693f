"""What fires schedules: the role `scheduler`."""

from contextlib import AsyncExitStack

from runwright.engine.scheduler import Scheduler
from runwright.wiring.automations import make_ticks
from runwright.wiring.foundation import Foundation


async def start_scheduler(f: Foundation, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(f.db, clock=f.clock, signals=f.signals, notice=f.notice, make=make_ticks(f.policy))
    stack.push_async_callback(scheduler.stop)
    await scheduler.start()
