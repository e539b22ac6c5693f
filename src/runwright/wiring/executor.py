"""What runs jobs and installs what they depend on: the role `executor`."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from runwright.config import Settings
from runwright.core.hosts import parse_trusted
from runwright.core.ids import new_id
from runwright.engine.builder import Builder
from runwright.engine.executor import Executor, ExecutorSettings
from runwright.engine.files import CachedFiles
from runwright.engine.installer import Installer
from runwright.engine.layers import HostLayers
from runwright.engine.preparation import Preparation
from runwright.engine.promoter import Promoter
from runwright.observe import TrafficCollector
from runwright.runtimes.building.tools import INSTALLING, Sources, Toolbox, platform_of
from runwright.runtimes.building.workshop import Limits as InstallLimits
from runwright.runtimes.building.workshop import Workshop
from runwright.runtimes.egress import Egress
from runwright.runtimes.pool import Pool, PoolSettings
from runwright.wiring.foundation import Foundation, open_database_pool, open_vault
from runwright.wiring.stopping import Stop
from runwright.workers.bundles.folders import FolderCache, make_private_folder
from runwright.workers.bundles.members import STORED, Limits
from runwright.workers.layers.service import Builds

BUILD_CONNECTIONS: Final = 2
CANNOT_INSTALL: Final = (
    "This server has no sandbox with a network to install dependencies in; put them into the bundle, or ask"
    " its operator."
)
LAYER_LIMITS: Final = Limits(unpacked_bytes=512 * 1024 * 1024, files=50_000, links=True)


async def start_executor(f: Foundation, files: CachedFiles, stop: Stop, stack: AsyncExitStack) -> Executor:
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
            tenant_running=settings.quota_running_jobs or None,
        ),
        clock=f.clock,
        signals=f.signals,
        notice=f.notice,
        make_pool=make_pool,
        preparation=Preparation(secrets=open_vault(f, f.db, stack), files=files, notice=f.notice),
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
        spared_processors=settings.pool_spared_processors,
        grace_seconds=settings.cancel_grace_seconds,
        module_folder=cache_dir(settings) / "modules",
        module_limit_bytes=settings.module_cache_bytes,
    )


async def open_files(f: Foundation, stack: AsyncExitStack) -> CachedFiles:
    """Return the files of versions on this machine."""
    layers = HostLayers(
        f.db,
        platforms=frozenset(platform_of(interpreter) for interpreter in f.host.interpreters.values()),
        on_building=tell_nobody,
        notice=f.notice,
    )
    cache = FolderCache(
        f.db,
        root=cache_dir(f.settings),
        limit_bytes=f.settings.cache_limit_bytes,
        limits={"bundles": STORED, "layers": LAYER_LIMITS},
    )
    files = CachedFiles(cache, layers.digest, notice=f.notice)
    stack.push_async_callback(files.stop)
    await files.start()
    return files


async def start_builder(
    f: Foundation, files: CachedFiles, executor: Executor, stack: AsyncExitStack
) -> Builder:
    """Start what installs the dependencies of versions, on connections of its own."""
    settings = f.settings
    db = await open_database_pool(f.dsn, BUILD_CONNECTIONS, stack)
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
    spool_dir = spool_dir_of(settings)
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


def tell_nobody() -> None:
    """Builders of other processes look by themselves."""


def cache_dir(settings: Settings) -> Path:
    return settings.cache_dir or settings.data_dir / "cache"


def spool_dir_of(settings: Settings) -> Path:
    return cache_dir(settings) / "spool"
