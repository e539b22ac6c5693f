"""The composition root: the only place that puts concrete things together.

Start: database, schema, services, loops, HTTP; then the one line on stdout. Stop, on SIGTERM or
SIGINT: no new work, running jobs get the drain period, what was accepted is committed, and the
things are taken down in reverse. A second signal gives up what still runs at once.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry

from runwright.config import Settings
from runwright.core.clock import Clock, system_clock
from runwright.core.hosts import parse_trusted
from runwright.core.ids import new_id
from runwright.core.notices import Notice
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.listen import Listener
from runwright.db.migrate import migrate
from runwright.db.pool import Database, connect, open_pool
from runwright.deliveries.client.client import OutgoingClient
from runwright.deliveries.client.target import OutgoingPolicy
from runwright.deliveries.sending import Sender
from runwright.deliveries.service import Endpoints
from runwright.deliveries.store.endpoints import secret_keys_in_use
from runwright.demo import run_demo
from runwright.engine.builder import Builder
from runwright.engine.deliverer import Deliverer
from runwright.engine.executor import Executor, ExecutorSettings
from runwright.engine.files import CachedFiles
from runwright.engine.installer import Installer
from runwright.engine.layers import HostLayers
from runwright.engine.preparation import Preparation
from runwright.engine.promoter import Promoter
from runwright.engine.pruner import Pruner, Retention
from runwright.engine.reaper import Reaper
from runwright.engine.router import Router
from runwright.engine.scheduler import Scheduler
from runwright.engine.tallies import TallyFolder
from runwright.events.hints import EventHints
from runwright.health import HealthReporter
from runwright.http.ava.webhook_events import AvaStyle
from runwright.http.ava.webhook_forms import STYLE as AVA_STYLE
from runwright.http.server import HttpServer, build_app
from runwright.http.services import EdgeSettings, Services
from runwright.jobs.analytics import Analytics
from runwright.jobs.queues import Queues
from runwright.jobs.service import Jobs
from runwright.jobs.signals import JobSignals
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.jobs.store.rescue import live_executors
from runwright.logs import set_up_logs
from runwright.observe import Observer, TrafficCollector
from runwright.runtimes.building.tools import INSTALLING, Sources, Toolbox, platform_of
from runwright.runtimes.building.workshop import Limits as InstallLimits
from runwright.runtimes.building.workshop import Workshop
from runwright.runtimes.egress import Egress
from runwright.runtimes.host import Host
from runwright.runtimes.interpreters import Paths
from runwright.runtimes.model import RuntimeInfo
from runwright.runtimes.pool import Pool, PoolSettings
from runwright.runtimes.probe import floor_refusal, probe_host
from runwright.schedules.service import Schedules
from runwright.schedules.store.definitions import stop_schedules_of_deprecated
from runwright.tenants.platform_key import platform_key
from runwright.tenants.service import Keys
from runwright.workers.bundles.folders import FolderCache, make_private_folder
from runwright.workers.bundles.members import STORED, Limits
from runwright.workers.bundles.reader import BundleReader
from runwright.workers.deployments import Deployments
from runwright.workers.layers.manifest import wants_layer
from runwright.workers.layers.service import Builds
from runwright.workers.service import Workers
from runwright.workers.vault.keyring import Keyring
from runwright.workers.vault.keys import key_source, load_keyring
from runwright.workers.vault.seals import EndpointSeals
from runwright.workers.vault.service import Vault
from runwright.workers.vault.store import keys_in_use

HINT_CHANNEL: Final = "runwright_jobs"
EVENT_CHANNEL: Final = "runwright_events"
ENGINE_CONNECTIONS: Final = 4
"""The loops have connections of their own, so that no flood of requests delays a heartbeat."""

SUBMIT_CONNECTIONS: Final = 2
BUILD_CONNECTIONS: Final = 2
CANNOT_INSTALL: Final = (
    "This server has no sandbox with a network to install dependencies in; put them into the bundle, or ask"
    " its operator."
)
STYLE_CONNECTIONS: Final = 2
DELIVERER_CONNECTIONS: Final = 3
_CANCEL_BATCH: Final = 1000
LAYER_LIMITS: Final = Limits(unpacked_bytes=512 * 1024 * 1024, files=50_000, links=True)


class Foundation(msgspec.Struct, frozen=True):
    """What every role stands on."""

    settings: Settings
    dsn: str
    host: Host
    clock: Clock
    notice: Notice
    metrics: CollectorRegistry
    db: Database
    signals: JobSignals
    hints: EventHints
    ring: Keyring


class _Stop:
    """Counts the signals: the first one asks for a drain, the second one for haste."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()

    def watch(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._hear)

    def _hear(self) -> None:
        (self.hurry if self.asked.is_set() else self.asked).set()


async def serve(settings: Settings) -> int:
    """Run the roles that the settings name until a signal says stop; returns the exit status."""
    set_up_logs(settings)
    stop = _Stop()
    stop.watch()
    async with AsyncExitStack() as stack:
        foundation = await _lay_foundation(settings, stack)
        if foundation is None:
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
                ticks_days=settings.retention_ticks_days,
                events_days=settings.retention_events_days,
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
            files = await _open_files(foundation, stack)
            executor = await _start_executor(foundation, files, stop, stack)
            builder = await _start_builder(foundation, files, executor, stack)
        if "scheduler" in settings.roles:
            await _start_scheduler(foundation, stack)
        on_building = builder.loop.wake if builder is not None else _tell_nobody
        if "router" in settings.roles:
            await _start_router(foundation, stack)
        sender = await _open_sender(foundation, stack)
        if "deliverer" in settings.roles:
            await _start_deliverer(foundation, sender, stack)
        url = None
        if "api" in settings.roles:
            url = await _start_http(foundation, executor, sender, on_building, stop, stack)
        sys.stdout.write(f"runwright ready {url or '(no api)'}\n")
        sys.stdout.flush()
        if settings.demo and url is not None:
            demo = asyncio.create_task(_demonstrate(settings, url))
            stack.callback(demo.cancel)
        await stop.asked.wait()
        foundation.notice("stopping")
    return 0


async def _lay_foundation(settings: Settings, stack: AsyncExitStack) -> Foundation | None:
    """Probe the host, bring up the database and its schema; None where the host is below the floor."""
    metrics = CollectorRegistry()
    notice = Observer(metrics)
    host = await asyncio.to_thread(probe_host, chosen_paths(settings))
    notice("host_probed", isolation=host.isolation.wire_name, missing=", ".join(m.what for m in host.missing))
    refusal = floor_refusal(settings.isolation_floor, host)
    if refusal is not None and "executor" in settings.roles:
        sys.stderr.write(f"{refusal}\n")
        return None
    dsn = settings.database_url
    if dsn is None:
        embedded = EmbeddedPostgres(settings.data_dir)
        stack.push_async_callback(embedded.stop)
        dsn = await embedded.start()
    connection = await connect(dsn)
    try:
        await migrate(connection)
    finally:
        await connection.close()
    db = await _open_pool(dsn, ENGINE_CONNECTIONS, stack, by_key=True)
    signals, hints = await _open_signals(dsn, stack)
    needed = [*await keys_in_use(db), *await secret_keys_in_use(db)]
    ring = await asyncio.to_thread(load_keyring, key_source(settings), needed)
    return Foundation(settings, dsn, host, system_clock, notice, metrics, db, signals, hints, ring)


def _open_vault(f: Foundation, db: Database, stack: AsyncExitStack) -> Vault:
    async def held_keys() -> list[list[str]]:
        return [one.vault_keys for one in await live_executors(db) if one.vault_keys is not None]

    vault = Vault(db, clock=f.clock, ring=f.ring, held_keys=held_keys)
    stack.push_async_callback(vault.stop)
    return vault


async def _open_pool(dsn: str, size: int, stack: AsyncExitStack, *, by_key: bool = False) -> Database:
    pool = await open_pool(dsn, max_size=size, by_key=by_key)
    stack.push_async_callback(pool.close)
    return pool


async def _open_signals(dsn: str, stack: AsyncExitStack) -> tuple[JobSignals, EventHints]:
    listener: Listener
    origin = new_id("exe", system_clock())
    signals = JobSignals(origin=origin, send=lambda payload: listener.notify(HINT_CHANNEL, payload))
    hints = EventHints(origin=origin, send=lambda payload: listener.notify(EVENT_CHANNEL, payload))
    signals.on_moved(hints.appended)
    listener = Listener(dsn, {HINT_CHANNEL: signals.receive, EVENT_CHANNEL: hints.receive})
    stack.push_async_callback(listener.stop)
    stack.callback(signals.stop)
    stack.callback(hints.stop)
    await listener.start()
    return signals, hints


def _tell_nobody() -> None:
    """Builders of other processes look by themselves."""


async def _start_executor(f: Foundation, files: CachedFiles, stop: _Stop, stack: AsyncExitStack) -> Executor:
    settings = f.settings
    egress = _start_egress(f, stack)

    def make_pool(executor: Executor) -> Pool:
        return Pool(
            settings=_pool_settings(settings),
            host=f.host,
            clock=f.clock,
            on_started=executor.on_started,
            on_line=executor.on_line,
            on_outcome=executor.on_outcome,
            on_room=executor.on_room,
            egress=egress,
        )

    executor = Executor(
        f.db,
        settings=ExecutorSettings(
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=settings.executor_slots,
            isolation=f.host.isolation.wire_name,
            runtimes=[name for name, info in f.host.runtimes.items() if info.ready],
            vault_keys=list(f.ring.ids),
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            drain_seconds=settings.drain_seconds,
        ),
        clock=f.clock,
        signals=f.signals,
        notice=f.notice,
        make_pool=make_pool,
        preparation=Preparation(secrets=_open_vault(f, f.db, stack), files=files, notice=f.notice),
    )
    promoter = Promoter(f.db, clock=f.clock, signals=f.signals, notice=f.notice)

    async def hurry() -> None:
        await stop.hurry.wait()
        executor.halt()

    hurrying = asyncio.create_task(hurry())
    stack.callback(hurrying.cancel)
    stack.push_async_callback(executor.stop)
    stack.push_async_callback(promoter.stop)
    await executor.start()
    await promoter.start()
    return executor


async def _start_builder(
    f: Foundation, files: CachedFiles, executor: Executor, stack: AsyncExitStack
) -> Builder:
    """Start what installs the dependencies of versions, on connections of its own."""
    settings = f.settings
    db = await _open_pool(f.dsn, BUILD_CONNECTIONS, stack)
    builds = Builds(
        db, clock=f.clock, builder_id=new_id("exe", f.clock()), lease_seconds=settings.lease_seconds
    )
    workshop = Workshop(
        host=f.host,
        limits=InstallLimits(
            seconds=settings.build_timeout_seconds,
            memory_mb=settings.build_memory_mb,
            disk_mb=settings.build_disk_mb,
        ),
    )
    sources = Sources(
        python_index=settings.python_index,
        npm_registry=settings.npm_registry,
        dependency_hosts=settings.dependency_hosts,
        allow_install_scripts=settings.allow_install_scripts,
    )
    spool_dir = _spool_dir(settings)
    make_private_folder(spool_dir)
    installer = Installer(
        toolbox=Toolbox(f.host, sources),
        workshop=workshop,
        bundle_folder=files.bundle,
        layer_folder=files.layer,
        find_layer=builds.layer,
        limits=LAYER_LIMITS,
        spool_dir=spool_dir,
        clock=f.clock,
    )
    builder = Builder(
        builds,
        installer,
        runtimes=[name for name in executor.runtimes if name in INSTALLING],
        slots=settings.build_slots,
        notice=f.notice,
        refusal=None if f.host.bwrap and f.host.network else CANNOT_INSTALL,
    )
    workshop.open()
    stack.callback(workshop.close)
    stack.push_async_callback(builder.stop)
    await builder.start()
    return builder


async def _open_files(f: Foundation, stack: AsyncExitStack) -> CachedFiles:
    """Return the files of versions on this machine."""
    layers = HostLayers(
        f.db,
        platforms=frozenset(platform_of(interpreter) for interpreter in f.host.interpreters.values()),
        on_building=_tell_nobody,
        notice=f.notice,
    )
    cache = FolderCache(
        f.db,
        root=_cache_dir(f.settings),
        limit_bytes=f.settings.cache_limit_bytes,
        limits={"bundles": STORED, "layers": LAYER_LIMITS},
    )
    files = CachedFiles(cache, layers.digest, notice=f.notice)
    stack.push_async_callback(files.stop)
    await files.start()
    return files


def _cache_dir(settings: Settings) -> Path:
    return settings.cache_dir or settings.data_dir / "cache"


def _spool_dir(settings: Settings) -> Path:
    return _cache_dir(settings) / "spool"


def _bundle_limits(settings: Settings) -> Limits:
    return Limits(unpacked_bytes=settings.bundle_unpacked_bytes, files=settings.bundle_files)


def chosen_paths(settings: Settings) -> Paths:
    """Return the interpreters that the operator chose."""
    return Paths(
        python=settings.python_path,
        node=settings.node_path,
        deno=settings.deno_path,
        wasm_fuel=settings.wasm_fuel,
        shell=settings.bash_path,
    )


async def _start_scheduler(f: Foundation, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(f.db, clock=f.clock, signals=f.signals, notice=f.notice)
    stack.push_async_callback(scheduler.stop)
    await scheduler.start()


def _start_egress(f: Foundation, stack: AsyncExitStack) -> Egress | None:
    """Start what carries the traffic of sandboxes, where they can have any."""
    if not f.settings.egress or not f.host.network:
        return None
    trusted = [parse_trusted(entry) for entry in f.settings.egress_trusted]
    egress = Egress(ports=f.settings.egress_ports, trusted=trusted)
    egress.start()
    stack.callback(egress.stop)
    f.metrics.register(TrafficCollector(egress.traffic))
    return egress


async def _start_router(f: Foundation, stack: AsyncExitStack) -> None:
    router = Router(f.db, clock=f.clock, hints=f.hints, notice=f.notice)
    stack.push_async_callback(router.stop)
    await router.start()


def _outgoing_policy(settings: Settings) -> OutgoingPolicy:
    return OutgoingPolicy(dev=settings.dev, trusted=tuple(map(parse_trusted, settings.webhook_trusted)))


async def _open_sender(f: Foundation, stack: AsyncExitStack) -> Sender:
    client = OutgoingClient(_outgoing_policy(f.settings))
    style = AvaStyle(await _open_pool(f.dsn, STYLE_CONNECTIONS, stack, by_key=True))
    stack.push_async_callback(client.stop)
    stack.push_async_callback(style.stop)
    return Sender(client, styles={AVA_STYLE: style}, seals=EndpointSeals(f.ring), clock=f.clock)


async def _start_deliverer(f: Foundation, sender: Sender, stack: AsyncExitStack) -> None:
    db = await _open_pool(f.dsn, DELIVERER_CONNECTIONS, stack, by_key=True)
    deliverer = Deliverer(db, sender=sender, clock=f.clock, hints=f.hints, notice=f.notice)
    stack.push_async_callback(deliverer.stop)
    await deliverer.start()


def _pool_settings(settings: Settings) -> PoolSettings:
    return PoolSettings(
        slots=settings.executor_slots,
        prebooted={
            "python": settings.pool_prebooted_python,
            "nodejs": settings.pool_prebooted_nodejs,
            "shell": settings.pool_prebooted_shell,
            "deno": settings.pool_prebooted_deno,
            "wasm": settings.pool_prebooted_wasm,
        },
        idle_seconds=settings.pool_idle_seconds,
        max_jobs_per_sandbox=settings.pool_max_jobs,
        grace_seconds=settings.cancel_grace_seconds,
        module_folder=_cache_dir(settings) / "modules",
        module_limit_bytes=settings.module_cache_bytes,
    )


async def _start_http(
    f: Foundation,
    executor: Executor | None,
    sender: Sender,
    on_building: Callable[[], None],
    stop: _Stop,
    stack: AsyncExitStack,
) -> str:
    settings = f.settings
    db = await _open_pool(f.dsn, settings.db_pool_size, stack)
    key = await asyncio.to_thread(platform_key, settings.platform_key, settings.data_dir)
    submits = await _open_pool(f.dsn, SUBMIT_CONNECTIONS, stack, by_key=True)
    jobs = Jobs(db, clock=f.clock, signals=f.signals, submits=submits, starter=executor)
    stack.push_async_callback(jobs.stop)

    async def end_deprecated() -> None:
        await stop_schedules_of_deprecated(db, now=f.clock())
        while ids := await cancel_jobs_of_deprecated(db, now=f.clock(), limit=_CANCEL_BATCH):
            f.signals.jobs_ended(ids)
            f.signals.announce_ended(ids)

    def runtime(name: str) -> RuntimeInfo:
        unknown = RuntimeInfo(name=name, ready=False, reason="no such runtime")
        return f.host.runtimes.get(name, unknown)

    spool_dir = _spool_dir(settings)
    reader = BundleReader(db, limits=_bundle_limits(settings), spool_dir=spool_dir, wants_layer=wants_layer)
    reporter = HealthReporter(db, clock=f.clock, host=f.host, executor=executor, draining=stop.asked.is_set)
    services = Services(
        workers=Workers(
            db,
            reader,
            clock=f.clock,
            on_deprecated=end_deprecated,
            on_building=on_building,
            on_event=f.hints.appended,
        ),
        deployments=Deployments(db, reader, clock=f.clock, on_building=on_building),
        vault=_open_vault(f, db, stack),
        jobs=jobs,
        queues=Queues(db, clock=f.clock),
        analytics=Analytics(db, clock=f.clock),
        schedules=Schedules(db, clock=f.clock),
        endpoints=Endpoints(
            db, clock=f.clock, seals=EndpointSeals(f.ring), sender=sender, on_due=f.hints.due
        ),
        outgoing=_outgoing_policy(settings),
        keys=Keys(db, clock=f.clock, platform_key=key),
        runtimes=runtime,
        health=reporter.report,
        ready=lambda: not stop.asked.is_set(),
        metrics=f.metrics,
        clock=f.clock,
    )
    edge = EdgeSettings(
        body_limit_bytes=settings.body_limit_bytes,
        upload_limit_bytes=settings.bundle_limit_bytes,
        spool_dir=spool_dir,
    )
    server = HttpServer(build_app(services, edge), host=settings.host, port=settings.port, edge=edge)
    stack.push_async_callback(server.stop)
    return await server.start()


async def _demonstrate(settings: Settings, url: str) -> None:
    key = await asyncio.to_thread(platform_key, settings.platform_key, settings.data_dir)
    shown = (
        "$RUNWRIGHT_PLATFORM_KEY" if settings.platform_key else f"$(cat {settings.data_dir / 'platform-key'})"
    )
    await run_demo(url, platform_key=key, shown_key=shown)
