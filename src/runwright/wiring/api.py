"""What answers requests: the role `api`."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import Final

from runwright.agents.executions import Executions
from runwright.agents.publishing import Publisher
from runwright.agents.service import Agents
from runwright.config import Settings
from runwright.db.pool import Database
from runwright.deliveries.sending import Sender
from runwright.deliveries.service import Endpoints
from runwright.engine.executor import Executor
from runwright.health import HealthReporter
from runwright.http.ava.webhook_forms import STYLE as AVA_STYLE
from runwright.http.avala.webhook_forms import STYLE as AVALA_STYLE
from runwright.http.server import HttpServer, build_app
from runwright.http.services import EdgeSettings, Services
from runwright.jobs.analytics import Analytics
from runwright.jobs.queues import Queues
from runwright.jobs.service import Jobs
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.runtimes.model import RuntimeInfo
from runwright.schedules.service import Schedules
from runwright.schedules.store.definitions import stop_schedules_of_deprecated
from runwright.tenants.audit import AuditLog
from runwright.tenants.platform_key import platform_key
from runwright.tenants.service import Keys
from runwright.tenants.tenants import Tenants
from runwright.wiring.automations import open_automations
from runwright.wiring.deliveries import outgoing_policy
from runwright.wiring.executor import spool_dir_of
from runwright.wiring.foundation import Foundation, open_database_pool, open_vault
from runwright.wiring.limits import set_bounds, strangers
from runwright.wiring.stopping import Stop
from runwright.workers.bundles.members import Limits
from runwright.workers.bundles.reader import BundleReader
from runwright.workers.deployments import Deployments
from runwright.workers.layers.manifest import wants_layer
from runwright.workers.service import Workers
from runwright.workers.vault.seals import EndpointSeals

SUBMIT_CONNECTIONS: Final = 2
_CANCEL_BATCH: Final = 1000


async def start_http(
    f: Foundation,
    executor: Executor | None,
    sender: Sender,
    on_building: Callable[[], None],
    stop: Stop,
    stack: AsyncExitStack,
) -> str:
    settings = f.settings
    db = await open_database_pool(f.dsn, settings.db_pool_size, stack)
    key = await asyncio.to_thread(platform_key, settings.platform_key, settings.data_dir)
    submits = await open_database_pool(f.dsn, SUBMIT_CONNECTIONS, stack, by_key=True)
    bounds = await set_bounds(f, db, stack)
    jobs = Jobs(
        db,
        clock=f.clock,
        signals=f.signals,
        submits=submits,
        # What starts with its submit holds no place of a quota.
        starter=None if settings.quota_running_jobs else executor,
        quota=bounds.queued_jobs,
        running_limit_of=bounds.running_limit_of,
    )
    stack.push_async_callback(jobs.stop)

    async def end_deprecated() -> None:
        await stop_schedules_of_deprecated(db, now=f.clock())
        while ids := await cancel_jobs_of_deprecated(db, now=f.clock(), limit=_CANCEL_BATCH):
            f.signals.jobs_ended(ids)
            f.signals.announce_ended(ids)

    def runtime(name: str) -> RuntimeInfo:
        unknown = RuntimeInfo(name=name, ready=False, reason="no such runtime")
        return f.host.runtimes.get(name, unknown)

    spool_dir = spool_dir_of(settings)
    reader = BundleReader(db, limits=_bundle_limits(settings), spool_dir=spool_dir, wants_layer=wants_layer)
    reporter = HealthReporter(db, clock=f.clock, host=f.host, executor=executor, draining=stop.asked.is_set)
    automations = open_automations(f, db, jobs)
    stack.push_async_callback(automations.ingress.stop)
    publisher = Publisher(submits, clock=f.clock, on_appended=f.hints.appended)
    stack.push_async_callback(publisher.stop)
    services = Services(
        workers=Workers(
            db,
            reader,
            clock=f.clock,
            on_deprecated=end_deprecated,
            on_building=on_building,
            on_defined=executor.note_worker if executor else lambda _: None,
            on_event=f.hints.appended,
            quota=bounds.stored_bytes,
        ),
        deployments=Deployments(
            db, reader, clock=f.clock, on_building=on_building, quota=bounds.stored_bytes
        ),
        vault=open_vault(f, db, stack),
        jobs=jobs,
        queues=Queues(db, clock=f.clock),
        analytics=Analytics(db, clock=f.clock),
        schedules=Schedules(db, clock=f.clock, quota=bounds.schedules),
        endpoints=_endpoints(f, db, sender, AVA_STYLE),
        avala_endpoints=_endpoints(f, db, sender, AVALA_STYLE),
        agents=Agents(
            db,
            clock=f.clock,
            seals=EndpointSeals(f.ring),
            on_due=f.hints.due,
            on_subscribed=f.hints.subscribed,
        ),
        executions=Executions(db, clock=f.clock, on_decided=f.hints.appended),
        publisher=publisher,
        outgoing=outgoing_policy(settings),
        keys=Keys(db, clock=f.clock, platform_key=key, strangers=strangers(settings)),
        audit=AuditLog(db),
        tenants=Tenants(db, clock=f.clock, on_change=bounds.standings.refresh),
        standings=bounds.standings,
        limiter=bounds.limiter,
        automations=automations,
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
        keyless=settings.dev and _on_loopback(settings.host),
        allowed_hosts=settings.allowed_hosts,
        public_url=(settings.public_url or "").rstrip("/"),
    )
    server = HttpServer(build_app(services, edge), host=settings.host, port=settings.port, edge=edge)
    stack.push_async_callback(server.stop)
    return await server.start()


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _endpoints(f: Foundation, db: Database, sender: Sender, style: str) -> Endpoints:
    seals = EndpointSeals(f.ring)
    return Endpoints(
        db,
        style=style,
        clock=f.clock,
        seals=seals,
        sender=sender,
        on_due=f.hints.due,
        on_subscribed=f.hints.subscribed,
    )


def _bundle_limits(settings: Settings) -> Limits:
    return Limits(unpacked_bytes=settings.bundle_unpacked_bytes, files=settings.bundle_files)
