"""The composition root: the only place that puts concrete things together.

Start: database, schema, services, loops, HTTP; then the one line on stdout. Stop, on SIGTERM or
SIGINT: no new work, running jobs get the drain period, what was accepted is committed, and the
things are taken down in reverse. A second signal gives up what still runs at once.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from runwright.config import Settings
from runwright.demo import run_demo
from runwright.engine.pruner import Pruner, Retention
from runwright.engine.reaper import Reaper
from runwright.engine.scheduler import Scheduler
from runwright.engine.tallies import TallyFolder
from runwright.logs import set_up_logs
from runwright.tenants.platform_key import platform_key
from runwright.wiring.api import start_http
from runwright.wiring.automations import load_automations, make_ticks
from runwright.wiring.deliveries import open_sender, start_agent_caller, start_deliverer, start_router
from runwright.wiring.executor import open_files, start_builder, start_executor, tell_nobody
from runwright.wiring.foundation import Foundation, lay_foundation
from runwright.wiring.stopping import Stop


async def serve(settings: Settings) -> int:
    """Run the roles that the settings name until a signal says stop; returns the exit status."""
    set_up_logs(settings)
    stop = Stop()
    stop.watch()
    async with AsyncExitStack() as stack:
        foundation = await lay_foundation(settings, stack)
        if foundation is None:
            return 1
        problem = await load_automations(foundation, stop, stack)
        if problem is not None:
            sys.stderr.write(f"{problem}\n")
            return 1
        reaper = Reaper(
            foundation.db,
            clock=foundation.clock,
            signals=foundation.signals,
            notice=foundation.notice,
            interval_seconds=settings.reaper_interval_seconds,
        )
        pruner = Pruner(
            foundation.db,
            retention=Retention(
                jobs_days=settings.retention_jobs_days,
                logs_days=settings.retention_logs_days,
                runs_days=settings.retention_runs_days,
                ticks_days=settings.retention_ticks_days,
                events_days=settings.retention_events_days,
                audit_days=settings.retention_audit_days,
            ),
            clock=foundation.clock,
            notice=foundation.notice,
        )
        folder = TallyFolder(foundation.db, clock=foundation.clock, notice=foundation.notice)
        for loop in (reaper, pruner, folder):
            stack.push_async_callback(loop.stop)
            await loop.start()
        executor = builder = None
        if "executor" in settings.roles:
            files = await open_files(foundation, stack)
            executor = await start_executor(foundation, files, stop, stack)
            builder = await start_builder(foundation, files, executor, stack)
        if "scheduler" in settings.roles:
            await start_scheduler(foundation, stack)
        on_building = builder.loop.wake if builder is not None else tell_nobody
        if "router" in settings.roles:
            await start_router(foundation, stack)
        sender = await open_sender(foundation, stack)
        if "deliverer" in settings.roles:
            await start_deliverer(foundation, sender, stack)
            await start_agent_caller(foundation, stack)
        url = None
        if "api" in settings.roles:
            url = await start_http(foundation, executor, sender, on_building, stop, stack)
        sys.stdout.write(f"runwright ready {url or '(no api)'}\n")
        sys.stdout.flush()
        if settings.demo and url is not None:
            demo = asyncio.create_task(_demonstrate(settings, url))
            stack.callback(demo.cancel)
        await stop.asked.wait()
        foundation.notice("stopping")
    return 0


async def start_scheduler(f: Foundation, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(f.db, clock=f.clock, signals=f.signals, notice=f.notice, make=make_ticks(f.policy))
    stack.push_async_callback(scheduler.stop)
    await scheduler.start()


async def _demonstrate(settings: Settings, url: str) -> None:
    key = await asyncio.to_thread(platform_key, settings.platform_key, settings.data_dir)
    shown = (
        "$RUNWRIGHT_PLATFORM_KEY" if settings.platform_key else f"$(cat {settings.data_dir / 'platform-key'})"
    )
    await run_demo(url, platform_key=key, shown_key=shown)
