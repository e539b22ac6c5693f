"""All routes of the AGH API."""

from collections.abc import Sequence

from runwright.http.agh.document import document_routes
from runwright.http.agh.events.routes import ROUTES as EVENTS
from runwright.http.agh.jobs.routes import ROUTES as JOBS
from runwright.http.agh.runs.routes import ROUTES as RUNS
from runwright.http.agh.tasks.routes import ROUTES as TASKS
from runwright.http.agh.triggers.routes import ROUTES as TRIGGERS
from runwright.http.agh.webhooks.routes import ROUTES as WEBHOOKS
from runwright.http.routing import Route


def agh_routes() -> Sequence[Route]:
    """Return the routes of all resources, and of the document that is made from them."""
    resources = [*JOBS, *TRIGGERS, *RUNS, *TASKS, *EVENTS, *WEBHOOKS]
    return [*resources, *document_routes(resources)]
