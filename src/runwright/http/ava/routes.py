"""All routes of the AVA API."""

from litestar import Router

from runwright.http.ava.analytics import AnalyticsRoutes
from runwright.http.ava.audit import AuditRoutes
from runwright.http.ava.docs import docs_routes
from runwright.http.ava.jobs import JobRoutes
from runwright.http.ava.keys import KeyRoutes
from runwright.http.ava.queues import QueueRoutes
from runwright.http.ava.runtimes import RuntimeRoutes
from runwright.http.ava.schedules import ScheduleRoutes
from runwright.http.ava.secrets import SecretRoutes
from runwright.http.ava.tenants import TenantRoutes
from runwright.http.ava.versions import VersionRoutes
from runwright.http.ava.webhooks import WebhookRoutes
from runwright.http.ava.workers import WorkerRoutes


def ava_routes() -> tuple[Router, ...]:
    """Return its workers' half, and what stands beside it."""
    ava = Router(
        "/v1/ava",
        route_handlers=[
            WorkerRoutes,
            SecretRoutes,
            VersionRoutes,
            JobRoutes,
            ScheduleRoutes,
            QueueRoutes,
            RuntimeRoutes,
            AnalyticsRoutes,
            docs_routes(),
        ],
    )
    return ava, Router("/v1", route_handlers=[WebhookRoutes, TenantRoutes, KeyRoutes, AuditRoutes])
