"""The role `api`: the HTTP server and the services behind it, on database connections of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from runwright.agents.executions import Executions
from runwright.agents.publishing import Publisher
from runwright.agents.service import Agents
from runwright.analytics.queues import Queues
from runwright.analytics.reports import Analytics
from runwright.builds.manifest import has_dependencies
from runwright.bulk.service import BulkOperations, BulkSteps
from runwright.config import Settings
from runwright.db.connection import MAINTENANCE, READ, SUBMIT
from runwright.db.pool import Database
from runwright.egress.service import raise_file_limit
from runwright.events.event_log import EventReader
from runwright.executor.executor import Executor
from runwright.http.app import build_app
from runwright.http.ava.webhooks.schemas import FORMAT as AVA_FORMAT
from runwright.http.avala.webhooks.schemas import FORMAT as AVALA_FORMAT
from runwright.http.connection_limits import caps_for
from runwright.http.server import HttpServer
from runwright.http.services import EdgeSettings, EventServices, ServerReports, Services, TenantServices
from runwright.inbox.executions import PREFIX as FLAGGED
from runwright.inbox.executions import FlaggedExecutions
from runwright.inbox.questions import AskedQuestions
from runwright.inbox.service import Inbox
from runwright.job_views.service import JobViews
from runwright.jobs.service import Jobs
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.loops.pass_loop import PassLoop
from runwright.loops.step_runner import StepRunner
from runwright.questions.links import QuestionLinks
from runwright.questions.model import PREFIX as ASKED
from runwright.questions.service import Questions
from runwright.schedules.backfills import Backfills, BackfillSteps
from runwright.schedules.service import Schedules
from runwright.schedules.store.schedules import disable_schedules_of_deprecated
from runwright.secrets.keyring import SecretBox
from runwright.supervisor.shutdown import Shutdown
from runwright.tenants.api_keys import ApiKeys, platform_key
from runwright.tenants.audit import AuditLog
from runwright.tenants.job_shares import JobShares
from runwright.tenants.sessions import Sessions
from runwright.tenants.tenants import Tenants
from runwright.webhooks.sending import WebhookSender
from runwright.webhooks.service import WebhookEndpoints
from runwright.wiring.automations import open_automations
from runwright.wiring.deliveries import outgoing_policy
from runwright.wiring.executor import spool_dir_in
from runwright.wiring.feed import open_credential_watch, open_feed
from runwright.wiring.limits import AdmissionControl, open_admission_control, unknown_key_limiter
from runwright.wiring.mcp import LateMcp
from runwright.wiring.questions import open_questions
from runwright.wiring.reports import open_reports
from runwright.wiring.resources import Resources, open_database_pool, open_vault, start_loop
from runwright.workers.bundles.members import ArchiveLimits
from runwright.workers.bundles.reader import BundleReader
from runwright.workers.bundles.stored import StoredBundles
from runwright.workers.contents import VersionContents
from runwright.workers.deployments import Deployments
from runwright.workers.input_schemas import InputSchemas
from runwright.workers.service import Workers
from runwright.workers.state import WorkerState

SUBMIT_CONNECTIONS: Final = 2
UPLOAD_CONNECTIONS: Final = 2
_CANCEL_BATCH: Final = 1000


async def start_http(
    res: Resources,
    executor: Executor | None,
    sender: WebhookSender,
    on_building: Callable[[], None],
    shutdown: Shutdown,
    stack: AsyncExitStack,
) -> tuple[str, ServerReports]:
    """Start the HTTP server; return its URL, and what it reports."""
    services = await open_services(res, executor, sender, on_building, shutdown, stack)
    edge = _edge_settings(res.settings)
    app = build_app(services, edge)
    if res.settings.mcp != "off":
        app.mount(
            "/mcp", LateMcp(app, edge, allow=res.settings.mcp, worker_tools=res.settings.mcp_worker_tools)
        )
    settings = res.settings
    server = HttpServer(
        app,
        host=settings.host,
        port=settings.port,
        edge=edge,
        end_waits=services.end_waits,
        port_is_shared=res.member is not None,
    )
    stack.push_async_callback(server.stop)
    return await server.start(), services.reports


def _edge_settings(settings: Settings) -> EdgeSettings:
    return EdgeSettings(
        body_limit_bytes=settings.body_limit_bytes,
        upload_limit_bytes=settings.bundle_limit_bytes,
        connections=caps_for(
            raise_file_limit(),
            total=settings.http_connections,
            per_address=settings.http_connections_per_address,
        ),
        spool_dir=spool_dir_in(settings),
        keyless=settings.dev and _on_loopback(settings.host),
        allowed_hosts=settings.allowed_hosts,
        cors_origins=frozenset(settings.cors_origins),
        public_url=(settings.public_url or "").rstrip("/"),
        base_path=_base_path(settings),
    )


def _base_path(settings: Settings) -> str:
    path = urlsplit(settings.public_url or "").path if settings.base_path is None else settings.base_path
    return path.rstrip("/")


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def open_services(
    res: Resources,
    executor: Executor | None,
    sender: WebhookSender,
    on_building: Callable[[], None],
    shutdown: Shutdown,
    stack: AsyncExitStack,
) -> Services:
    db = await open_database_pool(res, READ, res.settings.db_pool_size, stack, by_index=True)
    submits = await open_database_pool(res, SUBMIT, SUBMIT_CONNECTIONS, stack, by_key=True)
    admission = await open_admission_control(res, db, stack)
    jobs = _open_jobs(res, db, submits, admission, executor, stack)
    reader = _bundle_reader(res, db)
    executions = Executions(db, clock=res.clock, on_decided=res.event_notifications.appended)
    questions = open_questions(res, db)
    keys, sessions, shares, links = await _open_credentials(res, db, questions, stack)
    return Services(
        workers=_workers(res, db, reader, admission, executor, on_building),
        worker_state=WorkerState(db, clock=res.clock),
        deployments=await _open_deployments(res, reader, admission, on_building, stack),
        contents=VersionContents(db, StoredBundles(db, spool_dir=spool_dir_in(res.settings)), res.offload),
        vault=open_vault(res, db, stack),
        jobs=jobs,
        job_views=_job_views(res, db, jobs, admission),
        bulk=await _open_bulk(res, db, admission, stack),
        queues=Queues(db, clock=res.clock),
        analytics=Analytics(db, clock=res.clock),
        schedules=_schedules(res, db, admission),
        backfills=await _open_backfills(res, db, admission, stack),
        endpoints=_endpoints(res, db, sender, AVA_FORMAT),
        avala_endpoints=_endpoints(res, db, sender, AVALA_FORMAT),
        agents=_agents(res, db),
        executions=executions,
        automations=open_automations(res, db, jobs, stack),
        inbox=Inbox({FLAGGED: FlaggedExecutions(db, executions), ASKED: AskedQuestions(questions)}),
        questions=questions,
        question_links=links,
        events=await _open_events(res, db, submits, stack),
        keys=keys,
        sessions=sessions,
        shares=shares,
        credential_watch=open_credential_watch(res, db, admission.tenant_status, stack),
        outgoing=outgoing_policy(res.settings),
        tenancy=_tenancy(res, db, admission),
        reports=open_reports(res, db, executor, shutdown, stack),
        clock=res.clock,
        emit=res.emit,
        offload=res.offload,
        availability=res.availability,
    )


async def _open_credentials(
    res: Resources, db: Database, questions: Questions, stack: AsyncExitStack
) -> tuple[ApiKeys, Sessions, JobShares, QuestionLinks]:
    key = await asyncio.to_thread(platform_key, res.settings.platform_key, res.settings.data_dir)
    unknown = unknown_key_limiter(res.settings)
    keys = ApiKeys(db, clock=res.clock, platform_key=key, unknown_keys=unknown)
    loop = PassLoop("uses of keys", keys.record_uses, emit=res.emit)
    stack.push_async_callback(loop.stop)
    loop.start()
    sessions = Sessions(db, clock=res.clock, platform_key=key, unknown=unknown)
    shares = JobShares(db, clock=res.clock, platform_key=key, unknown=unknown)
    links = QuestionLinks(
        db,
        questions,
        clock=res.clock,
        platform_key=key,
        unknown=unknown,
        on_changed=res.event_notifications.appended,
    )
    return keys, sessions, shares, links


def _tenancy(res: Resources, db: Database, admission: AdmissionControl) -> TenantServices:
    return TenantServices(
        tenants=Tenants(db, clock=res.clock, on_change=admission.tenant_status.refresh),
        status=admission.tenant_status,
        limiter=admission.rate_limiter,
        usage=admission.usage,
        audit=AuditLog(db),
    )


async def _open_events(
    res: Resources, db: Database, submits: Database, stack: AsyncExitStack
) -> EventServices:
    publisher = Publisher(submits, clock=res.clock, on_appended=res.event_notifications.appended)
    stack.push_async_callback(publisher.stop)
    return EventServices(publisher=publisher, log=EventReader(db), feed=await open_feed(res, stack))


def _open_jobs(
    res: Resources,
    db: Database,
    submits: Database,
    admission: AdmissionControl,
    executor: Executor | None,
    stack: AsyncExitStack,
) -> Jobs:
    jobs = Jobs(
        db,
        clock=res.clock,
        notifications=res.job_notifications,
        submits=submits,
        # A job that starts with its submission would bypass the quota.
        starter=None if res.settings.quota_running_jobs else executor,
        quota=admission.queued_jobs,
        schemas=InputSchemas(db, res.offload),
    )
    stack.push_async_callback(jobs.stop)
    return jobs


def _job_views(res: Resources, db: Database, jobs: Jobs, admission: AdmissionControl) -> JobViews:
    return JobViews(
        db,
        jobs,
        clock=res.clock,
        notifications=res.job_notifications,
        running_limit_of=admission.running_limit_of,
    )


async def _open_bulk(
    res: Resources, db: Database, admission: AdmissionControl, stack: AsyncExitStack
) -> BulkOperations:
    steps = BulkSteps(db, clock=res.clock, notifications=res.job_notifications, quota=admission.queued_jobs)
    runner = StepRunner("bulk operations", steps.step, emit=res.emit)
    await start_loop(runner, stack)
    return BulkOperations(db, clock=res.clock, on_started=runner.loop.wake)


def _schedules(res: Resources, db: Database, admission: AdmissionControl) -> Schedules:
    return Schedules(
        db,
        clock=res.clock,
        quota=admission.schedules,
        queued_jobs=admission.queued_jobs,
        schemas=InputSchemas(db, res.offload),
        on_submitted=res.job_notifications.jobs_ready,
    )


async def _open_backfills(
    res: Resources, db: Database, admission: AdmissionControl, stack: AsyncExitStack
) -> Backfills:
    steps = BackfillSteps(
        db, clock=res.clock, notifications=res.job_notifications, quota=admission.queued_jobs
    )
    runner = StepRunner("backfills", steps.step, emit=res.emit)
    await start_loop(runner, stack)
    retention = timedelta(days=res.settings.retention_ticks_days)
    return Backfills(db, clock=res.clock, retention=retention, on_started=runner.loop.wake)


def _bundle_reader(res: Resources, db: Database) -> BundleReader:
    limits = ArchiveLimits(unpacked_bytes=res.settings.bundle_unpacked_bytes, files=res.settings.bundle_files)
    return BundleReader(db, limits=limits, spool_dir=spool_dir_in(res.settings), needs_layer=has_dependencies)


def _workers(
    res: Resources,
    db: Database,
    reader: BundleReader,
    admission: AdmissionControl,
    executor: Executor | None,
    on_building: Callable[[], None],
) -> Workers:
    return Workers(
        db,
        reader,
        clock=res.clock,
        on_deprecated=_end_deprecated(res, db),
        on_building=on_building,
        on_defined=executor.preload_worker if executor else lambda _: None,
        on_event=res.event_notifications.appended,
        schemas=InputSchemas(db, res.offload),
        quota=admission.stored_bytes,
    )


async def _open_deployments(
    res: Resources,
    reader: BundleReader,
    admission: AdmissionControl,
    on_building: Callable[[], None],
    stack: AsyncExitStack,
) -> Deployments:
    db = await open_database_pool(res, MAINTENANCE, UPLOAD_CONNECTIONS, stack, lazy=True)
    return Deployments(
        db,
        reader,
        clock=res.clock,
        on_building=on_building,
        quota=admission.stored_bytes,
        check_imports=res.settings.import_check,
    )


def _end_deprecated(res: Resources, db: Database) -> Callable[[], Awaitable[None]]:
    """Return the function that ends the schedules and jobs of deprecated workers."""

    async def end() -> None:
        await disable_schedules_of_deprecated(db, now=res.clock())
        while ids := await cancel_jobs_of_deprecated(db, now=res.clock(), limit=_CANCEL_BATCH):
            res.job_notifications.jobs_ended(ids)
            res.job_notifications.announce_ended(ids)

    return end


def _endpoints(res: Resources, db: Database, sender: WebhookSender, style: str) -> WebhookEndpoints:
    return WebhookEndpoints(
        db,
        style=style,
        clock=res.clock,
        secret_box=SecretBox(res.ring),
        sender=sender,
        on_due=res.event_notifications.due,
        on_subscribed=res.event_notifications.subscribed,
    )


def _agents(res: Resources, db: Database) -> Agents:
    return Agents(
        db,
        clock=res.clock,
        secret_box=SecretBox(res.ring),
        on_due=res.event_notifications.due,
        on_subscribed=res.event_notifications.subscribed,
    )
