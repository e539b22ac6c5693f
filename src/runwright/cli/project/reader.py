"""Reads a `runwright.toml`: all problems are reported, with their lines, before anything of it is used."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from runwright.cli.exits import UsageError
from runwright.cli.project.ignore import is_pattern
from runwright.cli.project.model import (
    ENTRYPOINTS,
    RUNTIMES_BY_SUFFIX,
    Project,
    ProjectAutomation,
    ProjectEnvironment,
    ProjectFile,
    ProjectSchedule,
    ProjectWebhook,
    ProjectWorker,
)
from runwright.cli.project.names import FILE_NAME
from runwright.cli.project.places import FilePlaces
from runwright.cli.project.positions import KeyPath, Positions
from runwright.cli.project.secrets_in_files import has_secret, how_to_keep, secret_like
from runwright.cli.project.tables import FileProblems, check_table, unknown_key
from runwright.client.json_values import unsendable

_MERGED: Final = "config"
_SECRETS: Final = frozenset({"key", "api_key", "secret", "token", "password"})
_LARGEST: Final = 1024 * 1024
_SHOWN: Final = 200


class _Table(msgspec.Struct):
    """A table with where it is in the file."""

    values: dict[str, Any]
    path: KeyPath


def find_project_file(folder: Path) -> Path | None:
    """Return the `runwright.toml` of a folder."""
    file = folder / FILE_NAME
    return file if file.is_file() else None


def read_project(folder: Path, environment: str | None = None) -> Project:
    """Return a folder's project, with what `[env.NAME]` changes. UsageError lists all that is wrong."""
    file = find_project_file(folder)
    if file is None:
        return _inferred(folder, environment)
    return _Reader(file).project(environment)


def _inferred(folder: Path, environment: str | None) -> Project:
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    found = [name for name in ENTRYPOINTS if (folder / name).is_file()]
    if environment is not None or len(found) != 1:
        where = "This folder" if folder == Path() else folder
        several = f", and several entrypoints: {', '.join(found)}" if len(found) > 1 else ""
        raise UsageError(
            f"{where} has no {FILE_NAME}{several}.",
            hint="Make one with: runwright init DIR --template python",
        )
    worker = ProjectWorker(name=folder.resolve().name, runtime=ENTRYPOINTS[found[0]], entrypoint=found[0])
    return Project(folder=folder, file=None, workers=[worker])


class _Reader:
    """One file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        text = _text_of(file)
        self._problems = FileProblems(file.name, Positions(text))
        parsed = _parse(file, text)
        for path, problem in unsendable(parsed):
            self._problems.add(path, problem[:1].upper() + problem[1:])
        self._top = _checked(parsed, ProjectFile, (), self._problems)

    def project(self, environment: str | None) -> Project:
        env = self._environment(environment)
        project = Project(
            folder=self._file.parent,
            file=self._file,
            workers=self._workers(env, environment),
            webhooks=self._listed("webhook", ProjectWebhook, env, environment),
            automations=self._listed("automation", ProjectAutomation, env, environment),
        )
        self._check_repeated(project)
        self._problems.raise_if_any()
        counts = {kind: len(self._top.get(kind, [])) for kind in ("webhook", "automation")}
        names = [worker.name for worker in project.workers]
        project.places = FilePlaces(self._problems, environment or "", names, counts)
        return project

    def _environment(self, name: str | None) -> dict[str, Any]:
        environments: Mapping[str, Any] = self._top.get("env", {})
        checked = {
            one: _checked(table, ProjectEnvironment, ("env", one), self._problems)
            for one, table in environments.items()
        }
        self._check_overrides(checked)
        if name in checked:
            return checked[name]
        if name is not None:
            known = ", ".join(environments) or "none"
            raise UsageError(
                f"{self._file.name} has no [env.{name}].", hint=f"Environments in the file: {known}"
            )
        return {}

    def _workers(self, env: Mapping[str, Any], environment: str | None) -> list[ProjectWorker]:
        overrides: dict[str, dict[str, Any]] = env.get("worker", {})
        workers = []
        for n, raw in enumerate(self._top.get("worker", [])):
            name = raw.get("name")
            changes = overrides.get(name, {}) if isinstance(name, str) else {}
            base = _Table(raw, ("worker", n))
            worker = self._worker(base, _Table(changes, ("env", environment or "", "worker", str(name))))
            workers += [] if worker is None else [worker]
        return workers

    def _check_overrides(self, environments: Mapping[str, Mapping[str, Any]]) -> None:
        """Check what every environment changes of workers, also where another one is deployed to."""
        known = [str(raw.get("name")) for raw in self._top.get("worker", [])]
        for environment, table in environments.items():
            for name, changes in table.get("worker", {}).items():
                path = ("env", environment, "worker", name)
                if name not in known:
                    self._problems.add(path, unknown_key(name, known))
                self._worker_table(_Table(changes, path), partial=True)

    def _worker(self, base: _Table, changes: _Table) -> ProjectWorker | None:
        values = self._worker_table(base, partial=False)
        changed = self._worker_table(changes, partial=True)
        if "name" not in values:
            return None
        merged = values | changed
        if _MERGED in values and _MERGED in changed:
            merged[_MERGED] = values[_MERGED] | changed[_MERGED]
        worker = ProjectWorker(**merged)
        self._check_files(worker, changes.path if "path" in changed else base.path)
        return worker

    def _worker_table(self, table: _Table, *, partial: bool) -> dict[str, Any]:
        raw = dict(table.values)
        schedules = raw.pop("schedule", [])
        values = _checked(raw, ProjectWorker, table.path, self._problems, partial=partial)
        if isinstance(schedules, list) and all(isinstance(one, dict) for one in schedules):
            made = [
                self._build(one, ProjectSchedule, (*table.path, "schedule", n))
                for n, one in enumerate(schedules)
            ]
            values |= {"schedule": [one for one in made if one is not None]} if made else {}
        else:
            self._problems.add((*table.path, "schedule"), "Must be written as [[worker.schedule]].")
        self._refuse_secrets(values, table.path)
        return values

    def _refuse_secrets(self, values: Mapping[str, Any], path: KeyPath) -> None:
        allowed = values.get("not_secret", [])
        inputs = [
            ((*path, "schedule", n, "input"), one.input) for n, one in enumerate(values.get("schedule", []))
        ]
        for place, table in (((*path, "config"), values.get("config", {})), *inputs):
            for name in secret_like(table):
                if name not in allowed:
                    self._problems.add((*place, name), how_to_keep(name))
        self._refuse_secret_texts(values, path, allowed)

    def _refuse_secret_texts(
        self, values: Mapping[str, Any], path: KeyPath, allowed: Sequence[str] = ()
    ) -> None:
        for name, value in values.items():
            if isinstance(value, str) and name not in allowed and has_secret(value):
                self._problems.add((*path, name), _REFUSED_TEXT)

    def _listed(
        self, key: str, kind: type[Any], env: Mapping[str, Any], environment: str | None
    ) -> list[Any]:
        places = [(self._top.get(key, []), (key,)), (env.get(key, []), ("env", environment or "", key))]
        made = [self._build(raw, kind, (*path, n)) for tables, path in places for n, raw in enumerate(tables)]
        return [one for one in made if one is not None]

    def _build(self, raw: Mapping[str, Any], kind: type[Any], path: KeyPath) -> Any:  # noqa: ANN401  one of several structs
        values = _checked(raw, kind, path, self._problems)
        if kind is not ProjectSchedule:
            self._refuse_secret_texts(values, path)
        required = {field.name for field in msgspec.structs.fields(kind) if field.required}
        made = kind(**values) if required <= values.keys() else None
        if isinstance(made, ProjectAutomation) and (made.schedule is None) == (made.event is None):
            self._problems.add(path, "Must have either schedule or event.")
        return made

    def _check_files(self, worker: ProjectWorker, path: KeyPath) -> None:
        for name in ("include", "exclude"):
            for pattern in getattr(worker, name):
                if not is_pattern(pattern):
                    self._problems.add((*path, name), f"Is no pattern: {pattern!r}.")
        folder = self._file.parent.resolve()
        code = _resolved(folder / worker.path)
        if code is None:
            self._problems.add((*path, "path"), f"There is no folder {worker.path[:_SHOWN]!r}.")
            return
        if not code.is_relative_to(folder) or PurePosixPath(worker.path).is_absolute():
            self._problems.add((*path, "path"), f"Must be inside the folder of {FILE_NAME}: {worker.path}")
            return
        if not code.is_dir():
            self._problems.add((*path, "path"), f"There is no folder {worker.path[:_SHOWN]}.")
            return
        self._find_entrypoint(worker, code, path)

    def _find_entrypoint(self, worker: ProjectWorker, code: Path, path: KeyPath) -> None:
        """Fill in the entrypoint and the runtime where one follows from the other or from the files."""
        if worker.entrypoint is None:
            names = [name for name, runtime in ENTRYPOINTS.items() if worker.runtime in {None, runtime}]
            found = [name for name in names if _is_file(code / name)]
            if len(found) != 1:
                self._problems.add(path, f"Must have entrypoint; {_where(worker)} has {_some(found, names)}.")
                return
            worker.entrypoint = found[0]
        elif not _is_file(code / worker.entrypoint):
            self._problems.add(
                (*path, "entrypoint"), f"There is no file {worker.entrypoint[:_SHOWN]!r} in {_where(worker)}."
            )
        if worker.runtime is None:
            worker.runtime = RUNTIMES_BY_SUFFIX.get(PurePosixPath(worker.entrypoint).suffix)
        if worker.runtime is None:
            self._problems.add(path, "Must have runtime: python, nodejs, deno, shell or wasm.")

    def _check_repeated(self, project: Project) -> None:
        self._once("worker", [worker.name for worker in project.workers], "name")
        for n, worker in enumerate(project.workers):
            self._once(
                f"worker[{n}].schedule",
                [one.label for one in worker.schedule],
                "name",
                ("worker", n, "schedule"),
            )
        self._once("webhook", [webhook.url for webhook in project.webhooks], "url")
        self._once("automation", [one.name for one in project.automations], "name")

    def _once(self, key: str, names: list[str], field: str, path: KeyPath | None = None) -> None:
        for n, name in enumerate(names):
            if name in names[:n]:
                self._problems.add(
                    (*(path or (key,)), n, field), f"{name!r} is there twice; each {field} once."
                )


def _where(worker: ProjectWorker) -> str:
    return "the folder" if worker.path == "." else worker.path


def _resolved(folder: Path) -> Path | None:
    """Return a folder without links; None for what cannot be one: too long a name, or links in a circle."""
    try:
        folder.is_dir()
        return folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name
        return False


def _some(found: list[str], names: list[str]) -> str:
    return (
        " and ".join(found) if found else f"no {', '.join(names[:-1])}{' or ' * (len(names) > 1)}{names[-1]}"
    )


def _text_of(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise UsageError(f"{file.name} is larger than {_LARGEST} bytes.")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file.name} is not UTF-8.") from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also a number of thousands of digits
        raise UsageError(f"{file.name} is no TOML: {error}.") from None
    except RecursionError:
        raise UsageError(f"{file.name} is nested too deeply.") from None


def _checked(
    raw: Mapping[str, Any],
    kind: type[msgspec.Struct],
    path: KeyPath,
    problems: FileProblems,
    *,
    partial: bool = False,
) -> dict[str, Any]:
    """Check a table; a key that would hold a secret is refused with the way to do it right."""
    for name in raw.keys() & _SECRETS:
        problems.add((*path, name), _NO_SECRETS)
    allowed = {name: value for name, value in raw.items() if name not in _SECRETS}
    return check_table(allowed, kind, path, problems, partial=partial)


_REFUSED_TEXT: Final = "Holds what looks like a key or a password, and does not belong in this file."

_NO_SECRETS: Final = (
    "A secret does not belong in this file. For a key: runwright login URL; for a webhook: leave it out, the"
    " server makes one; for a worker: runwright secrets set NAME."
)
