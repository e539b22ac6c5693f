"""The resources that all roles share: host, database with its schema, notifications, key ring."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Protocol

import msgspec

from runwright.agents.store.agents import AGENTS
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.secrets import TRIGGER_SECRETS
from runwright.automations.templates import Templates
from runwright.builds.package_managers import DependencySources
from runwright.builds.runtime_installer import install_runtimes
from runwright.config import Settings
from runwright.core.clock import Clock, Stopwatch, system_clock
from runwright.core.ids import new_id
from runwright.db.availability import Availability
from runwright.db.connection import FINISH, StatementClass
from runwright.db.notifications import Listener
from runwright.db.pool import Database, Pool, close_pool, open_pool
from runwright.db.pool_usage import PoolUsage
from runwright.db.startup import start_database
from runwright.events.notifications import EventNotifications
from runwright.jobs.notifications import JobNotifications
from runwright.leases.store import live_executors
from runwright.offload.client import Offload
from runwright.runtimes.host import Host
from runwright.runtimes.interpreters import InterpreterPaths
from runwright.runtimes.probe import floor_refusal, probe_host
from runwright.secrets.key_source import key_source, load_keyring
from runwright.secrets.keyring import Keyring
from runwright.secrets.rotation import count_by_key
from runwright.secrets.vault import Vault
from runwright.supervisor.member import GroupMember
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.server import HostProbed, RuntimeVersionInstalled, RuntimeVersionMissing
from runwright.telemetry.prometheus import MetricRegistry
from runwright.telemetry.sinks import open_telemetry
from runwright.webhooks.store.endpoints import ENDPOINTS

JOB_CHANNEL: Final = "runwright_jobs"
EVENT_CHANNEL: Final = "runwright_events"
ENCRYPTED_COLUMNS: Final = (ENDPOINTS, AGENTS, TRIGGER_SECRETS)
"""The secrets that are stored with their owners, encrypted with the keys of the vault."""

LOOP_CONNECTIONS: Final = 4
"""The loops have a separate pool, so that no number of requests can delay a heartbeat."""


class Resources(msgspec.Struct, frozen=True):
    """The resources that all roles share."""

    settings: Settings
    dsn: str
    host: Host
    clock: Clock
    emit: Emit
    metrics: MetricRegistry
    pool_usage: PoolUsage
    availability: Availability
    db: Database
    job_notifications: JobNotifications
    event_notifications: EventNotifications
    ring: Keyring
    automation_settings: AutomationSettings
    offload: Offload
    templates: Templates
    member: GroupMember | None
    """This process as one of several of the server; None where it is alone."""


async def open_resources(
    settings: Settings, member: GroupMember | None, stack: AsyncExitStack
) -> Resources | None:
    """Probe the host and open the database; None if the host is below the isolation floor."""
    metrics = MetricRegistry()
    if member is not None:
        member.publish(metrics)
    emit = open_telemetry(metrics)
    known = None if member is None or "executor" in settings.roles else member.host
    host = known or await _probe_host(settings, emit)
    refusal = floor_refusal(settings.isolation_floor, host)
    if refusal is not None and "executor" in settings.roles:
        sys.stderr.write(f"{refusal}\n")
        return None
    dsn = await start_database(settings, emit, stack)
    availability = Availability(emit)
    db = await _open_pool(dsn, availability, FINISH, LOOP_CONNECTIONS, stack, by_key=True)
    usage = PoolUsage()
    metrics.register(usage.families)
    usage.add(FINISH.name, db)
    job_notifications, event_notifications = await _open_notifications(
        settings.listen_database_url or dsn, availability, emit, stack
    )
    needed = list(await count_by_key(db, ENCRYPTED_COLUMNS))
    ring = await asyncio.to_thread(load_keyring, key_source(settings), needed)
    offload = Offload()
    stack.push_async_callback(offload.stop)
    automation_settings = AutomationSettings(
        zone=settings.automation_timezone, concurrency=settings.automation_concurrency
    )
    return Resources(
        settings,
        dsn,
        host,
        system_clock,
        emit,
        metrics,
        usage,
        availability,
        db,
        job_notifications,
        event_notifications,
        ring,
        automation_settings,
        offload,
        Templates(offload),
        member,
    )


async def _probe_host(settings: Settings, emit: Emit) -> Host:
    watch = Stopwatch()
    if settings.runtime_versions:
        await _install_runtimes(settings, emit)
    host = await asyncio.to_thread(probe_host, interpreter_paths(settings))
    missing = ", ".join(one.what for one in host.missing)
    emit(HostProbed(watch.seconds(), isolation=host.isolation.wire_name, missing=missing))
    return host


async def _install_runtimes(settings: Settings, emit: Emit) -> None:
    for one in await asyncio.to_thread(
        install_runtimes, settings.runtime_versions, _runtimes_dir(settings), dependency_sources(settings)
    ):
        if one.problem is None:
            emit(RuntimeVersionInstalled(one.name))
        else:
            emit(RuntimeVersionMissing(one.name, one.problem))


def _runtimes_dir(settings: Settings) -> Path:
    return settings.data_dir / "runtimes"


def open_vault(res: Resources, db: Database, stack: AsyncExitStack) -> Vault:
    async def executor_keys() -> list[list[str]]:
        return [one.vault_keys for one in await live_executors(db) if one.vault_keys is not None]

    vault = Vault(db, clock=res.clock, ring=res.ring, executor_keys=executor_keys)
    stack.push_async_callback(vault.stop)
    return vault


class Loop(Protocol):
    """What runs in the background from its start until it is stopped."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def start_loop(loop: Loop, stack: AsyncExitStack) -> None:
    """Start a loop, which is stopped at the end of the stack."""
    stack.push_async_callback(loop.stop)
    await loop.start()


async def open_database_pool(
    res: Resources,
    statement_class: StatementClass,
    size: int,
    stack: AsyncExitStack,
    *,
    by_key: bool = False,
    by_index: bool = False,
    lazy: bool = False,
) -> Database:
    """Open a pool for statements of a class; `lazy` ones have connections only while they are used."""
    pool = await _open_pool(
        res.dsn,
        res.availability,
        statement_class,
        size,
        stack,
        by_key=by_key,
        by_index=by_index,
        lazy=lazy,
    )
    res.pool_usage.add(statement_class.name, pool)
    return pool


async def _open_pool(
    dsn: str,
    availability: Availability,
    statement_class: StatementClass,
    size: int,
    stack: AsyncExitStack,
    *,
    by_key: bool = False,
    by_index: bool = False,
    lazy: bool = False,
) -> Pool:
    pool = await open_pool(
        dsn,
        max_size=size,
        statement_class=statement_class,
        availability=availability,
        by_key=by_key,
        by_index=by_index,
        lazy=lazy,
    )
    stack.push_async_callback(close_pool, pool)
    return pool


async def _open_notifications(
    dsn: str, availability: Availability, emit: Emit, stack: AsyncExitStack
) -> tuple[JobNotifications, EventNotifications]:
    listener: Listener
    origin = new_id("exe", system_clock())
    job_notifications = JobNotifications(
        origin=origin, send=lambda payload: listener.notify(JOB_CHANNEL, payload)
    )
    event_notifications = EventNotifications(
        origin=origin, send=lambda payload: listener.notify(EVENT_CHANNEL, payload)
    )
    job_notifications.on_changed(event_notifications.appended)
    job_notifications.on_started(event_notifications.appended)
    listener = Listener(
        dsn,
        {JOB_CHANNEL: job_notifications.receive, EVENT_CHANNEL: event_notifications.receive},
        availability,
        emit,
    )
    stack.push_async_callback(listener.stop)
    stack.callback(job_notifications.stop)
    stack.callback(event_notifications.stop)
    await listener.start()
    return job_notifications, event_notifications


def dependency_sources(settings: Settings) -> DependencySources:
    """Return the settings for where packages come from."""
    return DependencySources(
        python_index=settings.python_index,
        npm_registry=settings.npm_registry,
        dependency_hosts=settings.dependency_hosts,
        allow_install_scripts=settings.allow_install_scripts,
    )


def interpreter_paths(settings: Settings) -> InterpreterPaths:
    """Return the interpreters in the settings."""
    return InterpreterPaths(
        python=settings.python_path,
        node=settings.node_path,
        deno=settings.deno_path,
        installed=str(_runtimes_dir(settings)),
        wasm_fuel=settings.wasm_fuel,
        shell=settings.bash_path,
    )
