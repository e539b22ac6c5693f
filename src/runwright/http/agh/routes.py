"""All routes of the AGH API."""

from typing import Final

from runwright.http.agh.document import show_agh_document
from runwright.http.agh.events import EventRoutes
from runwright.http.agh.jobs import JobRoutes
from runwright.http.agh.runs import RunRoutes, TaskRoutes
from runwright.http.agh.triggers import TriggerRoutes
from runwright.http.agh.webhooks import WebhookRoutes

AGH_ROUTES: Final = (
    JobRoutes,
    TriggerRoutes,
    RunRoutes,
    TaskRoutes,
    EventRoutes,
    WebhookRoutes,
    show_agh_document,
)
