"""What the HTTP edge is given: the services it calls and the limits it enforces."""

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from runwright.agents.executions import Executions
from runwright.agents.publishing import Publisher
from runwright.agents.service import Agents
from runwright.analytics.queues import Queues
from runwright.analytics.reports import Analytics
from runwright.automations.service import Automations
from runwright.bulk.service import BulkOperations
from runwright.core.clock import Clock, system_clock
from runwright.db.availability import Availability
from runwright.events.event_log import EventReader
from runwright.events.feed import EventFeed
from runwright.http.connection_limits import ConnectionCaps, caps_for
from runwright.http.large_bodies import LargeBodies
from runwright.http.page_turns import page_turns
from runwright.http.response import OpenStreams
from runwright.http.system_report import SystemReport
from runwright.http.uploads import Uploads
from runwright.inbox.service import Inbox
from runwright.job_views.service import JobViews
from runwright.jobs.service import Jobs
from runwright.offload.client import Offload
from runwright.outbox.client.url import OutgoingPolicy
from runwright.questions.links import QuestionLinks
from runwright.questions.service import Questions
from runwright.runtimes.host import RuntimeInfo
from runwright.schedules.backfills import Backfills
from runwright.schedules.service import Schedules
from runwright.secrets.vault import Vault
from runwright.telemetry.emit import Emit, ignore_event
from runwright.telemetry.prometheus import MetricRegistry
from runwright.tenants.api_keys import ApiKeys
from runwright.tenants.audit import AuditLog
from runwright.tenants.credential_watch import CredentialWatch
from runwright.tenants.job_shares import JobShares
from runwright.tenants.rate_limits import RateLimiter
from runwright.tenants.sessions import Sessions
from runwright.tenants.status_cache import TenantStatusCache
from runwright.tenants.tenants import Tenants
from runwright.tenants.usage import UsageReporter
from runwright.webhooks.service import WebhookEndpoints
from runwright.workers.bundles.tenant_turns import TenantTurns
from runwright.workers.contents import VersionContents
from runwright.workers.deployments import Deployments
from runwright.workers.service import Workers
from runwright.workers.state import WorkerState

Facts = dict[str, str | int | float | bool | list[str] | None]
"""Plain facts about a part of the server; never secrets."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the server and of what it depends on; `/healthz` returns it to any caller."""

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    isolation: Facts
    database: Facts
    executors: Facts
    schedules: Facts = {}
    pool: Facts
    runtimes: list[RuntimeInfo]


class EventServices(msgspec.Struct, frozen=True, kw_only=True):
    """The events of tenants: how they are published, read, and followed."""

    publisher: Publisher
    log: EventReader
    feed: EventFeed


class TenantServices(msgspec.Struct, frozen=True, kw_only=True):
    """Tenants, what each may do, and what each has done."""

    tenants: Tenants
    status: TenantStatusCache
    limiter: RateLimiter
    usage: UsageReporter
    audit: AuditLog


class ServerReports(msgspec.Struct, frozen=True, kw_only=True):
    """What the server reports about itself. `ready` returns whether requests can be served, within 3 s."""

    health: Callable[[], Awaitable[Health]]
    ready: Callable[[], Awaitable[bool]]
    problems: Callable[[], Sequence[str]]
    """What an operator has to look at although requests may be served."""
    system: Callable[[], Awaitable[SystemReport]]
    runtimes: Callable[[], Awaitable[dict[str, RuntimeInfo]]]
    """All runtimes by their names, ready where this server or a live executor has them."""
    metrics: MetricRegistry
    """Those of this process."""
    metrics_text: Callable[[], Awaitable[str]]
    """Returns what `/metrics` shows, within 5 s, also without a database."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind the edge."""

    workers: Workers
    worker_state: WorkerState
    deployments: Deployments
    contents: VersionContents
    vault: Vault
    jobs: Jobs
    job_views: JobViews
    bulk: BulkOperations
    queues: Queues
    analytics: Analytics
    schedules: Schedules
    backfills: Backfills
    endpoints: WebhookEndpoints
    avala_endpoints: WebhookEndpoints
    agents: Agents
    executions: Executions
    automations: Automations
    inbox: Inbox
    questions: Questions
    question_links: QuestionLinks
    events: EventServices
    keys: ApiKeys
    sessions: Sessions
    shares: JobShares
    credential_watch: CredentialWatch
    outgoing: OutgoingPolicy
    tenancy: TenantServices
    reports: ServerReports
    offload: Offload = msgspec.field(default_factory=Offload)
    clock: Clock = system_clock
    emit: Emit = ignore_event
    availability: Availability = msgspec.field(default_factory=Availability)
    """Of the database, for the time that a request waits for it."""

    def end_waits(self) -> None:
        """End the requests that wait for something; those that come later do not wait."""
        self.events.feed.end()
        self.jobs.end_waits()
        self.job_views.end_tails()
        self.deployments.end_waits()
        self.automations.runs.end_waits()


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the edge."""

    body_limit_bytes: int = 2 * 1024 * 1024
    body_seconds: float = 30.0
    """How long a client may take to send a whole body; for an upload, the next chunk."""
    upload_limit_bytes: int = 50 * 1024 * 1024
    upload_seconds: float = 600.0
    """How long a client may take to send a whole upload."""
    spool_dir: Path = Path(tempfile.gettempdir())
    """The folder of uploads while they are processed."""
    head_limit_bytes: int = 32 * 1024
    """The request line and all headers together."""
    head_seconds: float = 10.0
    """How long a client may take to send them."""
    keep_alive_seconds: int = 75
    connections: ConnectionCaps = caps_for(1024)
    """How many connections may be open at once."""
    stop_seconds: int = 10
    """How long a stop waits for requests in progress."""
    streams: int = 512
    """Streams of events that may be open at once."""
    streams_per_tenant: int = 64
    keyless: bool = False
    """Whether callers on this machine may use the AGH API without a key, as the default tenant."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, besides addresses and localhost, under which a browser may call the AGH API."""
    cors_origins: frozenset[str] = frozenset()
    """Origins whose pages may call the APIs, with a key."""
    public_url: str = ""
    """The URL under which users reach this server, without a slash at its end; empty if it is not set."""
    base_path: str = ""
    """The path below which users reach this server, without a slash at its end; empty for the root."""


class EdgeState(msgspec.Struct, frozen=True):
    """What all requests share."""

    services: Services
    settings: EdgeSettings
    streams: OpenStreams
    uploads: Uploads
    large_bodies: LargeBodies = msgspec.field(default_factory=LargeBodies)
    page_turns: TenantTurns = msgspec.field(default_factory=page_turns)
