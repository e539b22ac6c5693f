"""What the server has: workers, schedules, webhooks, automations, and the files that serve."""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from runwright.cli.exits import UsageError
from runwright.cli.output import thing_of
from runwright.cli.project.model import Project
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runwright.client import Runwright
    from runwright.client.models.schedules import ScheduleInfo
    from runwright.client.models.webhooks import WebhookInfo
    from runwright.client.models.workers import VersionInfo, WorkerInfo

_FILES: Final = 2_000
_NOT_FOUND: Final = 404
_DEPRECATED: Final = "deprecated"


class ServerState(msgspec.Struct, kw_only=True):
    """What a tenant has."""

    workers: "dict[str, WorkerInfo]"
    """Those of the project, by name."""
    other_workers: "list[WorkerInfo]"
    schedules: "dict[str, list[ScheduleInfo]]"
    """By the id of their worker."""
    webhooks: "list[WebhookInfo]"
    automations: dict[str, list[dict[str, Any]]]
    """Jobs and triggers, as AGH's API has them."""
    secrets: set[str]


def read_state(client: "Runwright", project: Project) -> ServerState:
    """Return what the tenant has; webhooks and automations only where the project has some."""
    names = {worker.name for worker in project.workers}
    found = [worker for worker in client.workers.list(payloads=False) if worker.status != _DEPRECATED]
    schedules: dict[str, list[ScheduleInfo]] = {}
    for schedule in client.schedules.list():
        schedules.setdefault(schedule.worker_id, []).append(schedule)
    return ServerState(
        workers=_by_name(worker for worker in found if worker.name in names),
        other_workers=[worker for worker in found if worker.name not in names],
        schedules=schedules,
        webhooks=list(client.webhooks.list()) if project.webhooks else [],
        automations=_automations(client) if project.automations else {},
        secrets={secret.name for secret in client.secrets.list()},
    )


def _by_name(workers: "Iterable[WorkerInfo]") -> "dict[str, WorkerInfo]":
    found: dict[str, WorkerInfo] = {}
    for worker in workers:
        if worker.name in found:
            ids = f"{found[worker.name].id}, {worker.id}"
            raise UsageError(
                f"The server has two workers named {worker.name}: {ids}.",
                hint="Delete or rename one: runwright workers delete ID",
            )
        found[worker.name] = worker
    return found


def _automations(client: "Runwright") -> dict[str, list[dict[str, Any]]]:
    api = client.automations
    return {
        "jobs": [thing_of(job) for job in api.jobs.list()],
        "triggers": [thing_of(trigger) for trigger in api.triggers.list()],
    }


def _has_code(first: "VersionInfo") -> bool:
    """Return whether version 1 serves: it may be empty, still being built, or have failed."""
    return first.active and first.size_bytes is not None


def serving_files(client: "Runwright", worker: "WorkerInfo") -> dict[str, tuple[str, bool]]:
    """Return the files of the version that serves by path: digests, and whether they are executable."""
    if worker.version == 1 and not _has_code(client.workers.version(worker.id, 1)):
        return {}
    found: dict[str, tuple[str, bool]] = {}
    after: str | None = None
    while True:
        try:
            window = client.workers.version_files(worker.id, worker.version, after=after, limit=_FILES)
        except ApiError as error:
            if error.status == _NOT_FOUND:  # no code was ever given
                return {}
            raise
        found |= {file.path: (file.digest, file.executable) for file in window.files}
        after = window.next_after
        if after is None:
            return found
