"""A server of several processes, from its start to its end."""

import sys
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from runwright.config import Settings
from runwright.db.startup import start_database
from runwright.http.address import check_address, reserve_port
from runwright.http.address_record import recorded_address
from runwright.supervisor.group import ProcessGroup
from runwright.supervisor.plan import plan_processes
from runwright.supervisor.shutdown import LAST_RESORT_SECONDS, RELOAD, Shutdown
from runwright.telemetry.logs import EventLog, set_up_logs

STOP_SECONDS: Final = 5.0
"""Added to what the children take at most until they end themselves."""


async def supervise(settings: Settings, count: int) -> int:
    """Run a server of `count` API processes and executors until a signal; return the exit status."""
    set_up_logs(settings)
    shutdown = Shutdown()
    shutdown.watch()
    async with AsyncExitStack() as stack:
        group = await shutdown.unless_requested(_prepare(settings, count, stack))
        if group is None:
            return 0
        status = await shutdown.unless_requested(group.start())
        if status == 0:
            if group.url is not None:
                stack.enter_context(recorded_address(settings.data_dir, group.url))
            sys.stdout.write(f"runwright ready {group.url or '(no api)'}\n")
            sys.stdout.flush()
            if settings.automation_file is not None:
                shutdown.on_reload(lambda: group.signal(RELOAD))
            await shutdown.requested.wait()
        elif status is not None:
            shutdown.forced.set()
        in_order = await group.stop(shutdown.forced, _stop_seconds(settings))
    return status or int(not in_order)


def _stop_seconds(settings: Settings) -> float:
    """Return how long a stop may take before what is left is killed."""
    return settings.shutdown_delay_seconds + settings.drain_seconds + LAST_RESORT_SECONDS + STOP_SECONDS


async def _prepare(settings: Settings, count: int, stack: AsyncExitStack) -> ProcessGroup:
    """Reserve the port and open the database, which end with the stack, after the children."""
    if "api" in settings.roles:
        await check_address(settings.host, settings.port)
        reserved = await reserve_port(settings.host, settings.port)
        stack.callback(reserved.close)
        settings = msgspec.structs.replace(settings, port=reserved.getsockname()[1])
    emit = EventLog()
    await start_database(msgspec.structs.replace(settings, processes=count), emit, stack)
    return ProcessGroup(plan_processes(settings, count), emit)
