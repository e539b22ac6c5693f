"""All routes of the Avala API."""

from collections.abc import Sequence

from runwright.http.avala.agents.routes import ROUTES as AGENTS
from runwright.http.avala.deliveries.routes import ROUTES as DELIVERIES
from runwright.http.avala.document import document_routes
from runwright.http.avala.events.routes import ROUTES as EVENTS
from runwright.http.avala.executions.routes import ROUTES as EXECUTIONS
from runwright.http.avala.organizations.routes import ROUTES as ORGANIZATIONS
from runwright.http.avala.webhooks.routes import ROUTES as WEBHOOKS
from runwright.http.routing import Route


def avala_routes() -> Sequence[Route]:
    """Return the routes of all resources, and of the document that is made from them."""
    resources = [*AGENTS, *EXECUTIONS, *EVENTS, *ORGANIZATIONS, *WEBHOOKS, *DELIVERIES]
    return [*resources, *document_routes(resources)]
