"""The composition root: the only package that constructs and connects concrete objects.

Startup: database, schema, services, loops and HTTP, then one line on stdout. Shutdown, on SIGTERM or
SIGINT: no new work is accepted, running jobs have the drain period to end, accepted writes are
committed, and everything is closed in reverse order. A second signal ends the drain immediately. While
the database is away, jobs have 30 % of the drain period and their ends 20 % to be written, so that the
stop ends within the drain period. A signal during the startup ends it.
"""

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Final

from runwright.config import Settings
from runwright.http.address import check_address
from runwright.http.address_record import recorded_address
from runwright.supervisor.member import GroupMember
from runwright.supervisor.shutdown import LAST_RESORT_SECONDS, Shutdown, exit_at_the_latest
from runwright.telemetry.events.server import ProbesListening, ServerStopping
from runwright.telemetry.logs import set_up_logs
from runwright.tenants.api_keys import platform_key
from runwright.wiring.api import start_http
from runwright.wiring.automations import load_automations
from runwright.wiring.deliveries import open_sender, start_router, start_senders
from runwright.wiring.executor import do_nothing, open_files, start_builder, start_executor
from runwright.wiring.loops import start_maintenance, start_scheduler
from runwright.wiring.reports import open_own_reports, start_probes
from runwright.wiring.resources import Resources, open_resources

_DEMO: Final = "runwright.demo"

COLLECTIONS: Final = (2_500, 5, 20)
"""How many objects are made between two collections, and how many of these between two that look at more.

Of most objects nothing is left by the next one; each that is looked at holds up all threads for about 1 us.
"""


async def serve(settings: Settings, member: GroupMember | None = None) -> int:
    """Run the roles of the settings until a signal requests a shutdown; return the exit status.

    A `member` of a group reports to its supervisor, which may request the shutdown too.
    """
    set_up_logs(settings)
    shutdown = Shutdown()
    shutdown.watch()
    if member is not None:
        member.follow(shutdown)
    async with AsyncExitStack() as stack:
        res = await shutdown.unless_requested(_start(settings, member, shutdown, stack))
        if res is None:
            return 0 if shutdown.requested.is_set() else 1
        await shutdown.requested.wait()
        res.emit(ServerStopping())
        if "api" in settings.roles:
            await shutdown.forced_within(settings.shutdown_delay_seconds)
        with exit_at_the_latest(settings.drain_seconds + LAST_RESORT_SECONDS):
            await stack.aclose()
    return 0


async def _start(
    settings: Settings, member: GroupMember | None, shutdown: Shutdown, stack: AsyncExitStack
) -> Resources | None:
    """Start everything and report it; None if that is refused, with the reason on stderr."""
    if "api" in settings.roles and member is None:
        await check_address(settings.host, settings.port)
    if settings.probe_port is not None:
        await check_address(settings.host, settings.probe_port, setting="probe_port")
    res = await open_resources(settings, member, stack)
    if res is None:
        return None
    problem = await load_automations(res, shutdown, stack)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return None
    url = await _start_roles(res, shutdown, stack)
    _collect_rarely()
    if url is not None and member is None:
        stack.enter_context(recorded_address(settings.data_dir, url))
    _report_ready(res, url)
    if settings.demo and url is not None:
        demo = asyncio.create_task(_demonstrate(res, url))
        stack.callback(demo.cancel)
    return res


def _report_ready(res: Resources, url: str | None) -> None:
    if res.member is not None:
        res.member.report_ready(url, res.host)
        return
    sys.stdout.write(f"runwright ready {url or '(no api)'}\n")
    sys.stdout.flush()


def _collect_rarely() -> None:
    """Let collections, each of which holds up all threads, look only at what is made from now on.

    The start of a command is without them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
    gc.enable()


async def _start_roles(res: Resources, shutdown: Shutdown, stack: AsyncExitStack) -> str | None:
    """Start the roles of this process; return the URL of its API, if it has one."""
    roles = res.settings.roles
    await start_maintenance(res, stack)
    executor, on_building = None, do_nothing
    if "executor" in roles:
        files = await open_files(res, stack)
        parts = await start_executor(res, files, shutdown, stack)
        executor = parts.executor
        builder = await start_builder(res, files, parts, stack)
        on_building = builder.loop.wake
    if "scheduler" in roles:
        await start_scheduler(res, stack)
    if "router" in roles:
        await start_router(res, stack)
    sender = await open_sender(res, stack)
    if "deliverer" in roles:
        await start_senders(res, sender, stack)
    url, reports = None, None
    if "api" in roles:
        url, reports = await start_http(res, executor, sender, on_building, shutdown, stack)
    if res.settings.probe_port is not None:
        reports = reports or await open_own_reports(res, executor, shutdown, stack)
        probes = await start_probes(res, reports, res.settings.probe_port, stack)
        res.emit(ProbesListening(url=probes))
    return url


async def _demonstrate(res: Resources, url: str) -> None:
    settings = res.settings
    key = await asyncio.to_thread(platform_key, settings.platform_key, settings.data_dir)
    shown = (
        "$RUNWRIGHT_PLATFORM_KEY" if settings.platform_key else f"$(cat {settings.data_dir / 'platform-key'})"
    )
    demo = import_module(_DEMO)  # with the client and what draws on the terminal; servers need neither
    await demo.run_demo(url, platform_key=key, shown_key=shown, db=res.db)
