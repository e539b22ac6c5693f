"""The role `executor`: runs jobs, and installs the dependencies of worker versions."""

import asyncio
import contextlib
import os
import socket
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from runwright.builds.build_sandbox import BuildLimits, BuildSandbox
from runwright.builds.installer import Installer
from runwright.builds.package_managers import (
    PackageManagers,
    platform_of,
)
from runwright.builds.store import Builds
from runwright.config import Settings
from runwright.core.hostnames import parse_trusted
from runwright.core.ids import new_id
from runwright.core.lease_term import LeaseTerm
from runwright.db.availability import Availability
from runwright.db.connection import CLAIM, MAINTENANCE, PING
from runwright.db.pool import RECONNECT_SECONDS, Database, open_pool
from runwright.egress import Egress
from runwright.egress.metrics import traffic_metrics
from runwright.executor.attempt_runner import AttemptRunner
from runwright.executor.executor import Executor
from runwright.executor.lease import ExecutorSettings, LeaseResources
from runwright.executor.preparation import Preparation
from runwright.handler_calls.service import HandlerCallService
from runwright.loops.builder import Builder
from runwright.loops.promoter import Promoter
from runwright.loops.version_files import LayerLookup, VersionFiles
from runwright.runtimes.handler_calls import CallReceiver, HandlerCall, Reply
from runwright.runtimes.host import Host
from runwright.runtimes.model import Assignment, OnLine, OnOutcome
from runwright.runtimes.pool.default_slots import default_newcomer_slots, default_slots, host_resources
from runwright.runtimes.pool.pool import Pool, PoolSettings
from runwright.supervisor.shutdown import Shutdown
from runwright.wiring.executor_metrics import executor_metrics
from runwright.wiring.import_check import ImportChecks
from runwright.wiring.resources import (
    Resources,
    dependency_sources,
    open_database_pool,
    open_vault,
    start_loop,
)
from runwright.workers.bundles.folders import FolderCache, make_private_folder
from runwright.workers.bundles.members import STORED, ArchiveLimits

LAYER_LIMITS: Final = ArchiveLimits(unpacked_bytes=512 * 1024 * 1024, files=50_000)
BUILD_CONNECTIONS: Final = 2
HANDLER_CONNECTIONS: Final = 3
_DRAIN_PART_WHILE_AWAY: Final = 0.3
_LOOK_SECONDS: Final = 0.5
CANNOT_INSTALL: Final = (
    "This server has no sandbox with a network to install dependencies in; include them in the bundle, or"
    " ask the operator."
)


class ExecutorParts(msgspec.Struct, frozen=True):
    """The executor, and the check of code before it serves, which runs in sandboxes of the same kind."""

    executor: Executor
    import_checks: ImportChecks


async def start_executor(
    res: Resources, files: VersionFiles, shutdown: Shutdown, stack: AsyncExitStack
) -> ExecutorParts:
    term = LeaseTerm()
    egress = _start_egress(res, term, stack)
    handler_calls = await _open_handler_calls(res, stack)

    preparation = Preparation(secrets=open_vault(res, res.db, stack), files=files, emit=res.emit)
    executor = Executor(
        res.db,
        lease_resources=LeaseResources(partial(_open_lease_database, res), term),
        settings=_executor_settings(res),
        clock=res.clock,
        notifications=res.job_notifications,
        emit=res.emit,
        make_pool=partial(_make_pool, res, egress, term, handler_calls),
        preparation=preparation,
    )
    promoter = Promoter(res.db, clock=res.clock, notifications=res.job_notifications, emit=res.emit)
    halting = asyncio.create_task(_halt_when_forced(res, shutdown, executor))
    stack.callback(halting.cancel)
    await start_loop(executor, stack)
    await start_loop(promoter, stack)
    res.metrics.register(
        partial(
            executor_metrics,
            executor.pool.stats,
            term,
            slots=_pool_settings(res.settings).slots,
            lease_seconds=res.settings.lease_seconds,
        )
    )
    checks = ImportChecks(
        res.db, preparation=preparation, make_pool=partial(_make_check_pool, res, egress, term)
    )
    return ExecutorParts(executor, checks)


def _make_pool(
    res: Resources,
    egress: Egress | None,
    term: LeaseTerm,
    handler_calls: HandlerCallService,
    runner: AttemptRunner,
) -> Pool:
    return Pool(
        settings=_pool_settings(res.settings),
        host=res.host,
        clock=res.clock,
        on_started=runner.on_started,
        on_line=runner.on_line,
        on_outcome=runner.on_outcome,
        on_capacity=runner.on_capacity,
        calls=CallReceiver(partial(_serve_call, handler_calls, runner), runner.on_progress),
        egress=egress,
        term=term,
    )


def _serve_call(
    service: HandlerCallService,
    runner: AttemptRunner,
    assignment: Assignment,
    call: HandlerCall,
    reply: Reply,
) -> None:
    service.serve(runner.running(assignment.id), call, reply)


def _make_check_pool(
    res: Resources, egress: Egress | None, term: LeaseTerm, on_line: OnLine, on_outcome: OnOutcome
) -> Pool:
    """Return a pool of one sandbox, which boots when it is needed."""
    settings = msgspec.structs.replace(_pool_settings(res.settings), slots=1, newcomer_slots=0, prebooted={})
    return Pool(
        settings=settings,
        host=res.host,
        clock=res.clock,
        on_started=lambda _assignment, _at: None,
        on_line=on_line,
        on_outcome=on_outcome,
        on_capacity=do_nothing,
        egress=egress,
        term=term,
    )


async def _open_handler_calls(res: Resources, stack: AsyncExitStack) -> HandlerCallService:
    db = await open_database_pool(res, CLAIM, HANDLER_CONNECTIONS, stack, by_key=True, lazy=True)
    calls = HandlerCallService(
        db,
        clock=res.clock,
        emit=res.emit,
        notifications=res.job_notifications,
        on_event=res.event_notifications.appended,
        queued_jobs=res.settings.quota_queued_jobs or None,
    )
    stack.push_async_callback(calls.stop)
    return calls


async def _open_lease_database(res: Resources) -> Database:
    # An availability of its own: that of the process lives in the main loop.
    return await open_pool(
        res.dsn,
        max_size=1,
        application_name="runwright lease",
        within_seconds=RECONNECT_SECONDS,
        statement_class=PING,
        availability=Availability(),
        by_key=True,
    )


async def _halt_when_forced(res: Resources, shutdown: Shutdown, executor: Executor) -> None:
    """End the drain at a second signal, or early if no end can be written: the stop must end in time."""
    await shutdown.requested.wait()
    patience = res.settings.drain_seconds * _DRAIN_PART_WHILE_AWAY
    while not shutdown.forced.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shutdown.forced.wait(), patience)
        if not res.availability:
            break
        patience = _LOOK_SECONDS
    executor.halt()


def _executor_settings(res: Resources) -> ExecutorSettings:
    settings = res.settings
    return ExecutorSettings(
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=default_slots(settings.executor_slots, host_resources()),
        newcomer_slots=default_newcomer_slots(settings.executor_newcomer_slots, host_resources()),
        isolation=res.host.isolation.wire_name,
        runtimes=res.host.interpreter_names,
        vault_keys=list(res.ring.ids),
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        drain_seconds=settings.drain_seconds,
        tenant_running=settings.quota_running_jobs or None,
    )


def _start_egress(res: Resources, term: LeaseTerm, stack: AsyncExitStack) -> Egress | None:
    """Start the network of sandboxes, if the settings and the host allow one."""
    if not res.settings.egress or not res.host.network:
        return None
    trusted = [parse_trusted(entry) for entry in res.settings.egress_trusted]
    egress = Egress(ports=res.settings.egress_ports, trusted=trusted, held=term.held)
    egress.start()
    stack.callback(egress.stop)
    res.metrics.register(partial(traffic_metrics, egress.traffic))
    return egress


def _pool_settings(settings: Settings) -> PoolSettings:
    resources = host_resources()
    slots = default_slots(settings.executor_slots, resources)
    newcomer_slots = default_newcomer_slots(settings.executor_newcomer_slots, resources)
    prebooted = {
        "python": settings.pool_prebooted_python,
        "nodejs": settings.pool_prebooted_nodejs,
        "shell": settings.pool_prebooted_shell,
        "deno": settings.pool_prebooted_deno,
        "wasm": settings.pool_prebooted_wasm,
    }
    return PoolSettings(
        slots=slots,
        newcomer_slots=newcomer_slots,
        warm_limit=slots + newcomer_slots,
        boot_limit=max(2, resources.processors),
        prebooted=prebooted,
        stocked_on_use=frozenset(prebooted),
        idle_seconds=settings.pool_idle_seconds,
        max_jobs_per_sandbox=settings.pool_max_jobs,
        spared_processors=settings.pool_spared_processors,
        grace_seconds=settings.cancel_grace_seconds,
        module_folder=cache_dir(settings) / "modules",
        module_limit_bytes=settings.module_cache_bytes,
    )


async def open_files(res: Resources, stack: AsyncExitStack) -> VersionFiles:
    """Open the cache of bundles and dependency layers."""
    layers = LayerLookup(
        res.db,
        platform_of=partial(_platform_of, res.host),
        on_building=do_nothing,
        emit=res.emit,
    )
    cache = FolderCache(
        res.db,
        root=cache_dir(res.settings),
        limit_bytes=res.settings.cache_limit_bytes,
        limits={"bundles": STORED, "layers": LAYER_LIMITS},
    )
    files = VersionFiles(cache, layers.digest, emit=res.emit)
    stack.push_async_callback(files.stop)
    await files.start()
    return files


def _platform_of(host: Host, name: str) -> str | None:
    interpreter = host.interpreters.get(host.canonical_name(name))
    return platform_of(interpreter) if interpreter is not None else None


def do_nothing() -> None:
    """Do nothing: builders in other processes find new builds by polling."""


def cache_dir(settings: Settings) -> Path:
    return settings.cache_dir or settings.data_dir / "cache"


def spool_dir_in(settings: Settings) -> Path:
    return cache_dir(settings) / "spool"


async def start_builder(
    res: Resources, files: VersionFiles, parts: ExecutorParts, stack: AsyncExitStack
) -> Builder:
    """Start the builder on database connections of its own."""
    settings = res.settings
    db = await open_database_pool(res, MAINTENANCE, BUILD_CONNECTIONS, stack, lazy=True)
    builds = Builds(
        db, clock=res.clock, builder_id=new_id("exe", res.clock()), lease_seconds=settings.lease_seconds
    )
    build_sandbox = _open_build_sandbox(res, stack)
    builder = Builder(
        builds,
        _installer(res, files, builds, build_sandbox),
        runtimes=list(parts.executor.runtimes),
        slots=settings.build_slots,
        emit=res.emit,
        refusal=_refusal(res),
        check=parts.import_checks.problem,
    )
    await start_loop(builder, stack)
    return builder


def _refusal(res: Resources) -> str | None:
    return None if res.host.bwrap and res.host.network else CANNOT_INSTALL


def _open_build_sandbox(res: Resources, stack: AsyncExitStack) -> BuildSandbox:
    limits = BuildLimits(
        seconds=res.settings.build_timeout_seconds,
        memory_mb=res.settings.build_memory_mb,
        disk_mb=res.settings.build_disk_mb,
    )
    build_sandbox = BuildSandbox(host=res.host, limits=limits)
    build_sandbox.open()
    stack.callback(build_sandbox.close)
    return build_sandbox


def _installer(res: Resources, files: VersionFiles, builds: Builds, build_sandbox: BuildSandbox) -> Installer:
    spool_dir = spool_dir_in(res.settings)
    make_private_folder(spool_dir)
    return Installer(
        package_managers=PackageManagers(res.host, dependency_sources(res.settings)),
        build_sandbox=build_sandbox,
        bundle_folder=files.bundle,
        layer_folder=files.layer,
        find_layer=builds.layer,
        limits=LAYER_LIMITS,
        spool_dir=spool_dir,
        clock=res.clock,
        refusal=_refusal(res),
    )
