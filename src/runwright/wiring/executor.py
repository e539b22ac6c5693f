"""The role `executor`: runs jobs."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack

from runwright.config import Settings
from runwright.core.hostnames import parse_trusted
from runwright.egress import Egress
from runwright.egress.metrics import TrafficCollector
from runwright.executor.attempt_runner import AttemptRunner
from runwright.executor.executor import Executor
from runwright.executor.lease import ExecutorSettings
from runwright.executor.preparation import Preparation
from runwright.executor.version_files import VersionFiles
from runwright.loops.promoter import Promoter
from runwright.runtimes.pool.pool import Pool, PoolSettings
from runwright.wiring.files import cache_dir
from runwright.wiring.resources import Resources, open_vault
from runwright.wiring.shutdown import Shutdown


async def start_executor(
    f: Resources, files: VersionFiles, shutdown: Shutdown, stack: AsyncExitStack
) -> Executor:
    egress = _start_egress(f, stack)

    def make_pool(runner: AttemptRunner) -> Pool:
        return Pool(
            settings=_pool_settings(f.settings),
            host=f.host,
            clock=f.clock,
            on_started=runner.on_started,
            on_line=runner.on_line,
            on_outcome=runner.on_outcome,
            on_capacity=runner.on_capacity,
            egress=egress,
        )

    executor = Executor(
        f.db,
        settings=_executor_settings(f),
        clock=f.clock,
        notifications=f.job_notifications,
        emit=f.emit,
        make_pool=make_pool,
        preparation=Preparation(secrets=open_vault(f, f.db, stack), files=files, emit=f.emit),
    )
    promoter = Promoter(f.db, clock=f.clock, notifications=f.job_notifications, emit=f.emit)
    halting = asyncio.create_task(_halt_when_forced(shutdown, executor))
    stack.callback(halting.cancel)
    stack.push_async_callback(executor.stop)
    stack.push_async_callback(promoter.stop)
    await executor.start()
    await promoter.start()
    return executor


async def _halt_when_forced(shutdown: Shutdown, executor: Executor) -> None:
    await shutdown.forced.wait()
    executor.halt()


def _executor_settings(f: Resources) -> ExecutorSettings:
    settings = f.settings
    return ExecutorSettings(
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
    )


def _start_egress(f: Resources, stack: AsyncExitStack) -> Egress | None:
    """Start the network of sandboxes, if the settings and the host allow one."""
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
