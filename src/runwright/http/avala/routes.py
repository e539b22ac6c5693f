"""All routes of the Avala API."""

from litestar import Router

from runwright.http.avala.agents import AgentRoutes
from runwright.http.avala.document import PREFIX, show_avala_document
from runwright.http.avala.executions import ExecutionRoutes
from runwright.http.avala.organizations import OrganizationRoutes
from runwright.http.avala.webhooks import DeliveryRoutes, WebhookRoutes


def avala_routes() -> Router:
    return Router(
        PREFIX,
        route_handlers=[
            AgentRoutes,
            ExecutionRoutes,
            OrganizationRoutes,
            WebhookRoutes,
            DeliveryRoutes,
            show_avala_document,
        ],
    )
