"""What the API is sent for what a project has."""

from typing import Any, Final

import msgspec

from runwright.cli.project.model import ProjectSchedule, ProjectWorker

SETTINGS: Final = (
    "description",
    "timeout_seconds",
    "memory_mb",
    "network",
    "secrets",
    "config",
    "max_retries",
    "max_concurrency",
)
KEPT_UNLESS_SET: Final = ("max_processes", "input_schema")
SCHEDULE_FIELDS: Final = (
    "cron",
    "timezone",
    "input",
    "enabled",
    "catch_up",
    "overlap",
    "misfire_grace_seconds",
    "jitter_seconds",
)


def settings_of(worker: ProjectWorker) -> dict[str, Any]:
    """Return the settings of a worker as the API takes them."""
    settings = {name: msgspec.to_builtins(getattr(worker, name)) for name in SETTINGS}
    optional = {name: getattr(worker, name) for name in KEPT_UNLESS_SET}
    return settings | {name: value for name, value in optional.items() if value is not None}


def schedule_body(schedule: ProjectSchedule) -> dict[str, Any]:
    """Return a schedule as the API takes it, without its worker."""
    return {"name": schedule.name, **{name: getattr(schedule, name) for name in SCHEDULE_FIELDS}}
