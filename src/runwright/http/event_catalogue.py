"""The events that webhooks can subscribe to, under their core names; each dialect maps them to its own."""

from typing import Final

EVENTS: Final = (
    "job.queued",
    "job.started",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "worker.created",
    "worker.updated",
    "worker.deprecated",
    "schedule.fired",
    "schedule.skipped",
    "question.asked",
    "question.escalated",
    "question.answered",
    "question.timed_out",
    "question.withdrawn",
    "automation.run.completed",
    "automation.run.failed",
    "automation.run.cancelled",
    "automation.run.delegated",
)

FAMILIES: Final = ("job.*", "worker.*", "schedule.*", "question.*", "automation.*")
"""Patterns that match every event of a family, including those of later releases."""
