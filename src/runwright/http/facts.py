"""What happens here that the outside may be told of, in the core's words; dialects name it in theirs."""

from typing import Final

FACTS: Final = (
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
    "automation.run.completed",
    "automation.run.failed",
    "automation.run.cancelled",
    "automation.run.delegated",
)

FAMILIES: Final = ("job.*", "worker.*", "schedule.*", "automation.*")
"""Patterns that stand for all facts of a family, also those that later releases add."""
