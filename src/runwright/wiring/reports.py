"""What a process of any role reports about itself: probes, metrics, the state of the server."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from runwright import __version__
from runwright.analytics.queues import Queues
from runwright.db.connection import READ
from runwright.db.pool import Database
from runwright.db.write_probe import WriteProbe
from runwright.executor.executor import Executor
from runwright.http.connection_limits import caps_for
from runwright.http.probe_app import ProbeApp
from runwright.http.server import HttpServer
from runwright.http.services import EdgeSettings, ServerReports
from runwright.supervisor.shutdown import Shutdown
from runwright.telemetry.prometheus import Family, family, text_of
from runwright.wiring.executor import cache_dir
from runwright.wiring.gauges import Gauges
from runwright.wiring.health import HealthReporter
from runwright.wiring.resources import Resources, open_database_pool
from runwright.wiring.runtimes import RuntimeReporter
from runwright.wiring.system import SystemReporter

_SAMPLING_ROLES: Final = frozenset({"api", "scheduler"})
"""Processes with one of these count what is in the database; more would multiply the work."""

_PROBE_FILES: Final = 256
"""As many open files as the connections of the probe port are a share of."""


def open_reports(
    res: Resources, db: Database, executor: Executor | None, shutdown: Shutdown, stack: AsyncExitStack
) -> ServerReports:
    """Return the reports of this process, which may read the database by `db`."""
    queues = Queues(db, clock=res.clock)
    gauges = Gauges(
        db, queues, clock=res.clock, cache_dir=cache_dir(res.settings), runtimes=res.host.runtimes.keys()
    )
    stack.callback(gauges.stop)
    samples = not _SAMPLING_ROLES.isdisjoint(res.settings.roles)
    labels = {"version": __version__, "roles": ",".join(res.settings.roles)}
    info = family("build_info", "gauge", "The version and the roles of this process.", [(labels, 1)])
    res.metrics.register(lambda: [info])
    draining = shutdown.requested.is_set
    health = HealthReporter(db, clock=res.clock, host=res.host, executor=executor, draining=draining)
    return ServerReports(
        health=health.report,
        ready=_readiness(res, shutdown, stack),
        problems=partial(_problems, res),
        system=SystemReporter(db, res.settings, res.host, queues).report,
        runtimes=RuntimeReporter(db, res.host).report,
        metrics=res.metrics,
        metrics_text=partial(_metrics_text, res, gauges if samples else None),
    )


async def open_own_reports(
    res: Resources, executor: Executor | None, shutdown: Shutdown, stack: AsyncExitStack
) -> ServerReports:
    """Return the reports of a process without an API, whose loops share no connection with them."""
    db = await open_database_pool(res, READ, 1, stack, lazy=True)
    return open_reports(res, db, executor, shutdown, stack)


async def start_probes(res: Resources, reports: ServerReports, port: int, stack: AsyncExitStack) -> str:
    """Answer probes and scrapes on a port of their own; return its URL."""
    edge = EdgeSettings(connections=caps_for(_PROBE_FILES, total=0, per_address=0))
    server = HttpServer(ProbeApp(reports), host=res.settings.host, port=port, edge=edge)
    stack.push_async_callback(server.stop)
    return await server.start()


def _readiness(res: Resources, shutdown: Shutdown, stack: AsyncExitStack) -> Callable[[], Awaitable[bool]]:
    probe = WriteProbe(res.dsn, res.availability)
    stack.push_async_callback(probe.close)

    async def ready() -> bool:
        if shutdown.requested.is_set() or (res.member is not None and not res.member.state.serving):
            return False
        return await probe.problem() is None

    return ready


def _problems(res: Resources) -> Sequence[str]:
    return () if res.member is None else res.member.state.problems


async def _metrics_text(res: Resources, gauges: Gauges | None) -> str:
    """Return the metrics of all processes of this server, and the gauges of the installation."""
    sampled: Iterable[Family] = ()
    if gauges is not None:
        await gauges.refresh()
        sampled = gauges.families()
    counted = None if res.member is None else await res.member.group_metrics()
    return text_of([*(res.metrics.families() if counted is None else counted), *sampled])
