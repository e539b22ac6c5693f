"""The services behind the HTTP API, on database connections of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from runwright.agents.executions import Executions
from runwright.agents.publishing import Publisher
from runwright.agents.service import Agents
from runwright.builds.manifest import has_dependencies
from runwright.db.pool import Database
from runwright.executor.executor import Executor
from runwright.http.ava.webhooks.schemas import FORMAT as AVA_FORMAT
from runwright.http.avala.webhooks.schemas import FORMAT as AVALA_FORMAT
from runwright.http.services import Services
from runwright.jobs.analytics import Analytics
from runwright.jobs.queues import Queues
from runwright.jobs.service import Jobs
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.runtimes.host import Host, RuntimeInfo
from runwright.schedules.service import Schedules
from runwright.schedules.store.definitions import disable_schedules_of_deprecated
from runwright.secrets.keyring import SecretBox
from runwright.tenants.api_keys import ApiKeys, platform_key
from runwright.tenants.audit import AuditLog
from runwright.tenants.tenants import Tenants
from runwright.webhooks.sending import WebhookSender
from runwright.webhooks.service import WebhookEndpoints
from runwright.wiring.automations import open_automations
from runwright.wiring.deliveries import outgoing_policy
from runwright.wiring.files import spool_dir_in
from runwright.wiring.health import HealthReporter
from runwright.wiring.limits import AdmissionControl, open_admission_control, unknown_key_limiter
from runwright.wiring.resources import Resources, open_database_pool, open_vault
from runwright.wiring.shutdown import Shutdown
from runwright.workers.bundles.members import ArchiveLimits
from runwright.workers.bundles.reader import BundleReader
from runwright.workers.deployments import Deployments
from runwright.workers.service import Workers

SUBMIT_CONNECTIONS: Final = 2
_CANCEL_BATCH: Final = 1000


async def open_services(
    f: Resources,
    executor: Executor | None,
    sender: WebhookSender,
    on_building: Callable[[], None],
    shutdown: Shutdown,
    stack: AsyncExitStack,
) -> Services:
    db = await open_database_pool(f.dsn, f.settings.db_pool_size, stack)
    submits = await open_database_pool(f.dsn, SUBMIT_CONNECTIONS, stack, by_key=True)
    admission = await open_admission_control(f, db, stack)
    jobs = _open_jobs(f, db, submits, admission, executor, stack)
    reader = _bundle_reader(f, db)
    reporter = HealthReporter(
        db, clock=f.clock, host=f.host, executor=executor, draining=shutdown.requested.is_set
    )
    key = await asyncio.to_thread(platform_key, f.settings.platform_key, f.settings.data_dir)
    return Services(
        workers=_workers(f, db, reader, admission, executor, on_building),
        deployments=Deployments(
            db, reader, clock=f.clock, on_building=on_building, quota=admission.stored_bytes
        ),
        vault=open_vault(f, db, stack),
        jobs=jobs,
        queues=Queues(db, clock=f.clock),
        analytics=Analytics(db, clock=f.clock),
        schedules=Schedules(db, clock=f.clock, quota=admission.schedules),
        endpoints=_endpoints(f, db, sender, AVA_FORMAT),
        avala_endpoints=_endpoints(f, db, sender, AVALA_FORMAT),
        agents=_agents(f, db),
        executions=Executions(db, clock=f.clock, on_decided=f.event_notifications.appended),
        publisher=_open_publisher(f, submits, stack),
        outgoing=outgoing_policy(f.settings),
        keys=ApiKeys(db, clock=f.clock, platform_key=key, unknown_keys=unknown_key_limiter(f.settings)),
        audit=AuditLog(db),
        tenants=Tenants(db, clock=f.clock, on_change=admission.tenant_status.refresh),
        tenant_status=admission.tenant_status,
        limiter=admission.rate_limiter,
        automations=open_automations(f, db, jobs, stack),
        runtimes=partial(_describe_runtime, f.host),
        health=reporter.report,
        ready=lambda: not shutdown.requested.is_set(),
        metrics=f.metrics,
        clock=f.clock,
    )


def _open_jobs(
    f: Resources,
    db: Database,
    submits: Database,
    admission: AdmissionControl,
    executor: Executor | None,
    stack: AsyncExitStack,
) -> Jobs:
    jobs = Jobs(
        db,
        clock=f.clock,
        notifications=f.job_notifications,
        submits=submits,
        # A job that starts with its submission would bypass the quota.
        starter=None if f.settings.quota_running_jobs else executor,
        quota=admission.queued_jobs,
        running_limit_of=admission.running_limit_of,
    )
    stack.push_async_callback(jobs.stop)
    return jobs


def _bundle_reader(f: Resources, db: Database) -> BundleReader:
    limits = ArchiveLimits(unpacked_bytes=f.settings.bundle_unpacked_bytes, files=f.settings.bundle_files)
    return BundleReader(db, limits=limits, spool_dir=spool_dir_in(f.settings), needs_layer=has_dependencies)


def _workers(
    f: Resources,
    db: Database,
    reader: BundleReader,
    admission: AdmissionControl,
    executor: Executor | None,
    on_building: Callable[[], None],
) -> Workers:
    return Workers(
        db,
        reader,
        clock=f.clock,
        on_deprecated=_end_deprecated(f, db),
        on_building=on_building,
        on_defined=executor.preload_worker if executor else lambda _: None,
        on_event=f.event_notifications.appended,
        quota=admission.stored_bytes,
    )


def _end_deprecated(f: Resources, db: Database) -> Callable[[], Awaitable[None]]:
    """Return the function that ends the schedules and jobs of deprecated workers."""

    async def end() -> None:
        await disable_schedules_of_deprecated(db, now=f.clock())
        while ids := await cancel_jobs_of_deprecated(db, now=f.clock(), limit=_CANCEL_BATCH):
            f.job_notifications.jobs_ended(ids)
            f.job_notifications.announce_ended(ids)

    return end


def _endpoints(f: Resources, db: Database, sender: WebhookSender, style: str) -> WebhookEndpoints:
    return WebhookEndpoints(
        db,
        style=style,
        clock=f.clock,
        secret_box=SecretBox(f.ring),
        sender=sender,
        on_due=f.event_notifications.due,
        on_subscribed=f.event_notifications.subscribed,
    )


def _agents(f: Resources, db: Database) -> Agents:
    return Agents(
        db,
        clock=f.clock,
        secret_box=SecretBox(f.ring),
        on_due=f.event_notifications.due,
        on_subscribed=f.event_notifications.subscribed,
    )


def _open_publisher(f: Resources, db: Database, stack: AsyncExitStack) -> Publisher:
    publisher = Publisher(db, clock=f.clock, on_appended=f.event_notifications.appended)
    stack.push_async_callback(publisher.stop)
    return publisher


def _describe_runtime(host: Host, name: str) -> RuntimeInfo:
    return host.runtimes.get(name) or RuntimeInfo(name=name, ready=False, reason="no such runtime")
