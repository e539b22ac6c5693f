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
from runwright.telemetry.events import ServerStopping
from runwright.telemetry.logs import set_up_logs
from runwright.tenants.api_keys import platform_key
from runwright.wiring.api import start_http
from runwright.wiring.automations import load_automations
from runwright.wiring.builder import start_builder
from runwright.wiring.deliveries import open_sender, start_router, start_senders
from runwright.wiring.executor import start_executor
from runwright.wiring.files import open_files, tell_nobody
from runwright.wiring.maintenance import start_upkeep
from runwright.wiring.resources import Resources, lay_foundation
from runwright.wiring.scheduler import start_scheduler
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
        url = await _start_roles(foundation, stop, stack)
        sys.stdout.write(f"runwright ready {url or '(no api)'}\n")
        sys.stdout.flush()
        if settings.demo and url is not None:
            demo = asyncio.create_task(_demonstrate(settings, url))
            stack.callback(demo.cancel)
        await stop.asked.wait()
        foundation.emit(ServerStopping())
    return 0


async def _start_roles(f: Resources, stop: Stop, stack: AsyncExitStack) -> str | None:
    """Start what this process consists of; returns the address that it answers at, if it does."""
    roles = f.settings.roles
    await start_upkeep(f, stack)
    executor, on_building = None, tell_nobody
    if "executor" in roles:
        files = await open_files(f, stack)
        executor = await start_executor(f, files, stop, stack)
        builder = await start_builder(f, files, executor, stack)
        on_building = builder.loop.wake
    if "scheduler" in roles:
        await start_scheduler(f, stack)
    if "router" in roles:
        await start_router(f, stack)
    sender = await open_sender(f, stack)
    if "deliverer" in roles:
        await start_senders(f, sender, stack)
    if "api" in roles:
        return await start_http(f, executor, sender, on_building, stop, stack)
    return None


async def _demonstrate(settings: Settings, url: str) -> None:
    key = await asyncio.to_thread(platform_key, settings.platform_key, settings.data_dir)
    shown = (
        "$RUNWRIGHT_PLATFORM_KEY" if settings.platform_key else f"$(cat {settings.data_dir / 'platform-key'})"
    )
    await run_demo(url, platform_key=key, shown_key=shown)
