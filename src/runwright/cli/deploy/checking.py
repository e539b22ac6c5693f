"""Lets the server check all that a plan will send, before the first of it is sent."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runwright.cli.deploy.automations import JOBS, body_of, kind_of
from runwright.cli.deploy.bodies import schedule_body, settings_of
from runwright.cli.deploy.server_state import ServerState
from runwright.cli.exits import UsageError
from runwright.cli.project.model import Project, ProjectWorker
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from runwright.client import Runwright

_NOT_CHECKED: Final = {
    HTTPStatus.FORBIDDEN: "The server has not checked this: the key may not deploy.",
    HTTPStatus.NOT_FOUND: "The server has not checked this: it is of a release that cannot.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The server has not checked this: it is of a release that cannot.",
}
_JOB_LIST, _TRIGGER_LIST = "automation_jobs", "automation_triggers"
_KEYS: Final = {"agent_name": "agent", "workspace_id": "workspace", "scope": "workspace"}
"""Fields of automations that a file has other names for."""
_TEXT_KEYS: Final = frozenset({"schedule"})
"""Fields of automations that are one text in a file."""


class _Found(msgspec.Struct, frozen=True):
    """The place of a field."""

    kind: str
    number: int
    below: tuple[str | int, ...] = ()


def check_definitions(client: "Runwright", project: Project, state: ServerState) -> list[str]:
    """Return warnings. UsageError names all that the server would refuse, with its lines."""
    places = _Places(project)
    warnings = list(_unknown_agents(client, project, state))
    found: Mapping[str, Sequence[str]] = {}
    try:
        found = client.check(_definitions(project)).warnings
    except ApiError as error:
        if error.status in _NOT_CHECKED:
            return [*warnings, _NOT_CHECKED[HTTPStatus(error.status)]]
        if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        _refuse(project, {places.find(field): texts for field, texts in error.fields.items()})
    for field, texts in found.items():
        warnings.append(f"{_place_text(project, places.find(field))}: {' '.join(texts)}")
    return warnings


def _definitions(project: Project) -> dict[str, Any]:
    automations: dict[str, list[dict[str, Any]]] = {_JOB_LIST: [], _TRIGGER_LIST: []}
    for one in project.automations:
        automations[_list_of(kind_of(one))].append(body_of(one))
    return {
        "workers": [
            {"definition": _worker(one), "schedules": [schedule_body(each) for each in one.schedule]}
            for one in project.workers
        ],
        "webhooks": [{"url": one.url, "events": one.events} for one in project.webhooks],
        **automations,
    }


def _worker(worker: ProjectWorker) -> dict[str, Any]:
    line = {} if worker.runtime_version is None else {"runtime_version": worker.runtime_version}
    about = {"name": worker.name, "runtime": worker.runtime, "entrypoint": worker.entrypoint}
    return about | line | settings_of(worker)


def _list_of(kind: str) -> str:
    return _JOB_LIST if kind == JOBS else _TRIGGER_LIST


class _Places:
    """Finds what a field of the server's answer is in a project: `workers.0.schedules.1.cron`."""

    def __init__(self, project: Project) -> None:
        self._automations: dict[str, list[int]] = {_JOB_LIST: [], _TRIGGER_LIST: []}
        for n, one in enumerate(project.automations):
            self._automations[_list_of(kind_of(one))].append(n)

    def find(self, field: str) -> _Found | None:
        """Return the place; None for a field that is of no definition."""
        name, *rest = [int(part) if part.isdecimal() else part for part in field.split(".")]
        match name, rest:
            case "workers", [int(n), "schedules", int(m), *below]:
                return _Found("worker", n, ("schedule", m, *below))
            case "workers", [int(n), _, *below]:
                return _Found("worker", n, tuple(below))
            case "webhooks", [int(n), *below]:
                return _Found("webhook", n, tuple(below))
            case str(), [int(n), *below] if name in self._automations:
                return _Found("automation", self._automations[name][n], tuple(_in_file(below)))
        return None


def _in_file(below: Sequence[str | int]) -> Iterator[str | int]:
    for part in below:
        yield _KEYS.get(part, part) if isinstance(part, str) else part
        if part in _TEXT_KEYS:
            return


def _refuse(project: Project, problems: Mapping[_Found | None, Sequence[str]]) -> None:
    places = project.places
    if places is None or None in problems:
        fields = {_place_text(project, found): list(texts) for found, texts in problems.items()}
        raise UsageError("The server would refuse this. Nothing was changed.", fields=fields)
    for found, texts in problems.items():
        for text in texts:
            assert found is not None  # noqa: S101  looked for above
            places.add(found.kind, found.number, found.below, text)
    places.raise_if_any()


def _place_text(project: Project, found: _Found | None) -> str:
    if found is None:
        return "all"
    if project.places is None:
        return ".".join(map(str, found.below)) or found.kind
    return project.places.line_text(found.kind, found.number, found.below)


def _unknown_agents(client: "Runwright", project: Project, state: ServerState) -> Iterator[str]:
    """Yield a warning for each automation whose agent is neither a worker nor registered."""
    if not project.automations:
        return
    known = {one.name for one in project.workers} | {one.name for one in state.other_workers}
    known |= {agent.name for agent in client.agents.list()}
    for n, one in enumerate(project.automations):
        if one.agent not in known:
            place = _place_text(project, _Found("automation", n, ("agent",)))
            yield f"{place}: There is no worker and no agent {one.agent}; what it fires fails until there is."
