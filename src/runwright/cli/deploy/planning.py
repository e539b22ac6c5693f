"""Compares a project with what the server has."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runwright.cli.deploy.automations import plan_automations
from runwright.cli.deploy.bodies import (
    KEPT_UNLESS_SET,
    SCHEDULE_FIELDS,
    SETTINGS,
    schedule_body,
    settings_of,
)
from runwright.cli.deploy.checking import check_definitions
from runwright.cli.deploy.entrypoints import check_entrypoint
from runwright.cli.deploy.model import Act, FileDifference, Plan, ResourceChange, WorkerChange, changed_fields
from runwright.cli.deploy.server_state import ServerState, serving_files
from runwright.cli.exits import UsageError
from runwright.cli.project.files import CodeFiles, digest_of, find_files, keeps_modes
from runwright.cli.project.model import Project, ProjectWorker
from runwright.cli.terminal import argument

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.workers import WorkerInfo


def make_plan(client: "Runwright", project: Project, state: ServerState, *, prune: bool) -> Plan:
    """Return what has to change. `prune`: what the project does not have is deleted."""
    for worker in project.workers:
        _require_runtime(worker, state)
    warnings = check_definitions(client, project, state)
    workers = [_plan_worker(client, project, worker, state) for worker in project.workers]
    others = [change for worker in project.workers for change in _plan_schedules(worker, state)]
    others += _plan_webhooks(project, state)
    others += plan_automations(project, state)
    unmanaged = [one for one in others if one.act is Act.DELETE] + list(_unknown_workers(project, state))
    return Plan(
        workers=workers,
        others=[one for one in others if one.act is not Act.DELETE],
        deletions=unmanaged if prune else [],
        unmanaged=[] if prune else unmanaged,
        warnings=[*warnings, *(warning for change in workers for warning in _warnings(change, state))],
    )


def _require_runtime(worker: ProjectWorker, state: ServerState) -> None:
    """Raise UsageError if a worker's runtime would have to change, which no worker's can."""
    found = state.workers.get(worker.name)
    if found is not None and worker.runtime not in {None, found.runtime}:
        raise UsageError(
            f"{worker.name} is a {found.runtime} worker on the server, and {worker.runtime} here.",
            hint="Give it another name, or delete the old one:"
            f" runwright workers delete {argument(worker.name)}",
        )


def _plan_worker(
    client: "Runwright", project: Project, worker: ProjectWorker, state: ServerState
) -> WorkerChange:
    found = state.workers.get(worker.name)
    files = find_files(project.folder, worker)
    change = WorkerChange(worker=worker, found=found, files=files, handler=check_entrypoint(worker, files))
    if found is not None:
        if project.file is not None:
            wanted, have = settings_of(worker), _settings_on_server(found)
            change.fields = changed_fields(have, wanted)
            change.settings = _patch(change, found)
        serving = serving_files(client, found)
        change.has_code = bool(serving)
        change.differences = list(_differences(files, serving))
        if change.has_code and found.entrypoint != worker.entrypoint:
            change.differences.append(FileDifference(f"entrypoint {worker.entrypoint}", Act.UPDATE))
        if project.file is None:
            worker.runtime_version = found.runtime_version
        if change.has_code and found.runtime_version != worker.runtime_version:
            line = worker.runtime_version or "default"
            change.differences.append(FileDifference(f"runtime_version {line}", Act.UPDATE))
    return change


def _settings_on_server(found: "WorkerInfo") -> dict[str, Any]:
    names = (*SETTINGS, *KEPT_UNLESS_SET)
    return {name: msgspec.to_builtins(getattr(found, name, None)) for name in names}


def _patch(change: WorkerChange, found: "WorkerInfo") -> dict[str, Any]:
    """Return the changes of settings. The API merges `config`, so names that are gone are sent as null."""
    patch = {field.name: field.new for field in change.fields}
    if "config" in patch:
        patch["config"] = dict.fromkeys(found.config) | patch["config"]
    return patch


def _differences(files: CodeFiles, serving: Mapping[str, tuple[str, bool]]) -> Iterator[FileDifference]:
    here = {file.path for file in files.taken}
    for file in files.taken:
        there = serving.get(file.path)
        if there is None:
            yield FileDifference(file.path, Act.CREATE)
        elif there[0] != digest_of(file) or (keeps_modes() and there[1] != file.executable):
            yield FileDifference(file.path, Act.UPDATE)
    yield from (FileDifference(path, Act.DELETE) for path in serving if path not in here)


def _plan_schedules(worker: ProjectWorker, state: ServerState) -> Iterator[ResourceChange]:
    found = state.workers.get(worker.name)
    existing = list(state.schedules.get(found.id, ())) if found is not None else []
    for schedule in worker.schedule:
        match = next((one for one in existing if (one.name or one.cron) == schedule.label), None)
        body = schedule_body(schedule)
        about = f"{schedule.cron} {schedule.timezone}"
        change = ResourceChange(
            kind="schedule", act=Act.CREATE, name=schedule.label, worker=worker.name, body=body, about=about
        )
        if match is not None:
            existing.remove(match)
            old = {name: msgspec.to_builtins(getattr(match, name)) for name in SCHEDULE_FIELDS}
            change.id, change.fields = match.id, changed_fields(old, {k: body[k] for k in SCHEDULE_FIELDS})
            change.act = Act.UPDATE if change.fields else Act.NONE
        yield change
    for one in existing:
        about = f"{one.cron} {one.timezone}"
        yield ResourceChange(
            kind="schedule",
            act=Act.DELETE,
            name=one.name or one.cron,
            id=one.id,
            worker=worker.name,
            about=about,
        )


def _plan_webhooks(project: Project, state: ServerState) -> Iterator[ResourceChange]:
    existing = list(state.webhooks)
    for webhook in project.webhooks:
        match = next((one for one in existing if one.url == webhook.url), None)
        body = {"url": webhook.url, "events": webhook.events}
        change = ResourceChange(
            kind="webhook", act=Act.CREATE, name=webhook.url, body=body, about=", ".join(webhook.events)
        )
        if match is not None:
            existing.remove(match)
            same = set(match.events) == set(webhook.events)
            change.id = match.id
            change.fields = (
                [] if same else changed_fields({"events": match.events}, {"events": webhook.events})
            )
            change.act = Act.NONE if same else Act.UPDATE
        yield change
    for one in existing:
        yield ResourceChange(
            kind="webhook", act=Act.DELETE, name=one.url, id=one.id, about=", ".join(one.events)
        )


def _unknown_workers(project: Project, state: ServerState) -> Iterator[ResourceChange]:
    """Yield the workers that the project does not have; where it has no file, nothing is known of others."""
    if project.file is not None:
        for worker in state.other_workers:
            yield ResourceChange(
                kind="worker", act=Act.DELETE, name=worker.name, id=worker.id, about=worker.runtime
            )


def _warnings(change: WorkerChange, state: ServerState) -> Iterator[str]:
    worker = change.worker
    yield from (f"{worker.name}: {text}" for text in change.files.warnings)
    for name in worker.secrets:
        if name not in state.secrets:
            yield f"{worker.name}: the secret {name} is not set; its jobs fail. runwright secrets set {name}"
