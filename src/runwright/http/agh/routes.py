"""All routes of the AGH API."""

from typing import Final

from runwright.http.agh.document import show_agh_document
from runwright.http.agh.events.routes import EventRoutes
from runwright.http.agh.jobs.routes import JobRoutes
from runwright.http.agh.runs.routes import RunRoutes
from runwright.http.agh.tasks.routes import TaskRoutes
from runwright.http.agh.triggers.routes import TriggerRoutes
from runwright.http.agh.webhooks.routes import WebhookRoutes

AGH_ROUTES: Final = (
    JobRoutes,
    TriggerRoutes,
    RunRoutes,
    TaskRoutes,
    EventRoutes,
    WebhookRoutes,
    show_agh_document,
)
