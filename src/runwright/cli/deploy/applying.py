"""Carries out a plan: code first, so that a build that fails changes nothing else of its worker."""

import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from runwright.cli.deploy.automations import WEBHOOK_EVENT, api_of, send_automation
from runwright.cli.deploy.bodies import settings_of
from runwright.cli.deploy.model import Act, Plan, ResourceChange, WorkerChange
from runwright.cli.deploy.rendering import files_text
from runwright.cli.exits import CommandError, ExitCode, from_answer
from runwright.cli.progress import byte_bar
from runwright.cli.project.archive import pack
from runwright.cli.remote import Remote
from runwright.cli.target import label_of
from runwright.cli.terminal import argument, is_drawable, note, one_line, painter, printable
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.workers import VersionInfo, WorkerInfo

_LOOK_SECONDS: Final = 0.3
_STEP: Final = 10
_LOG_LINES: Final = 15
_LARGE: Final = 1_000_000
"""Bytes of an upload that has a progress bar; a smaller one is sent before anyone could read it."""

_PACKAGE: Final = re.compile(r"^ ?\+ ([A-Za-z0-9_.@/-]+?)(?:==|@)([A-Za-z0-9_.+-]+)$", re.MULTILINE)
_MOST_PACKAGES: Final = 3
_NO_CODE_YET: Final = "The worker exists, and nothing serves yet. Mend the code, and repeat the command."


class DeployedWorker(msgspec.Struct, kw_only=True):
    """What became of a worker, for programs."""

    worker: str
    worker_id: str
    version: int | None = None
    previous_version: int | None = None
    changed: list[str] = []


class Applying:
    """One plan that is being carried out."""

    def __init__(self, remote: Remote, plan: Plan, *, message: str | None, timeout: float) -> None:
        self._remote = remote
        self._client: Runwright = remote.writer
        self._plan = plan
        self._message = message
        self._timeout = timeout
        self._paint = painter(sys.stdout)
        self._quiet = remote.output.format.is_json
        self.deployed: list[DeployedWorker] = []

    def run(self) -> None:
        """Carry out all of it, deletions last. A failure ends it; the same command continues there."""
        for worker in self._plan.workers:
            if worker.act is not Act.NONE:
                self.deployed.append(self._worker(worker))
        for change in self._plan.others:
            if change.act is not Act.NONE:
                self._other(change)
        for change in self._plan.deletions:
            self._delete(change)
        if self._message and not any(worker.version for worker in self.deployed):
            note("The message is not kept: no code has changed, so there is no new version.", "dim")

    def _worker(self, change: WorkerChange) -> DeployedWorker:
        worker, found = change.worker, change.found
        before = found.version if found is not None and change.has_code else None
        if found is None:
            found = self._create(change)
        done = DeployedWorker(worker=worker.name, worker_id=found.id)
        if change.differences or change.found is None:
            done.version, done.previous_version = self._code(change, found, before), before
        if change.settings:
            self._client.workers.update(found.id, **change.settings)
            done.changed = [field.name for field in change.fields]
            self._step("settings", ", ".join(done.changed), worker.name if not done.version else "")
        return done

    def _create(self, change: WorkerChange) -> "WorkerInfo":
        worker = change.worker
        assert worker.runtime is not None  # noqa: S101  the reader has filled it in
        settings = settings_of(worker)
        if worker.runtime_version is not None:
            settings["runtime_version"] = worker.runtime_version
        return self._client.workers.create(
            worker.name, worker.runtime, entrypoint=worker.entrypoint, **settings
        )

    def _code(self, change: WorkerChange, found: "WorkerInfo", before: int | None) -> int:
        """Upload the code, wait for its build, and return the version that serves."""
        worker = change.worker
        bundle = pack(change.files.taken)
        line = worker.runtime_version or "default"
        started = time.monotonic()
        with byte_bar("uploading") if len(bundle) >= _LARGE else nullcontext() as progress:
            version = self._client.workers.deploy(
                found.id,
                bundle,
                wait=0,
                entrypoint=worker.entrypoint,
                runtime_version=None if worker.runtime_version == found.runtime_version else line,
                message=self._message,
                progress=progress,
            )
        self._headline(change, version)
        if change.handler:
            self._step("checked", change.handler)
        self._step("uploaded", _seconds(started))
        try:
            version = self._built(worker.name, version, time.monotonic(), before)
        except KeyboardInterrupt:
            self._transient("")
            raise _detached(worker.name, version) from None
        self._served(worker.name, version, before)
        return version.version

    def _headline(self, change: WorkerChange, version: "VersionInfo") -> None:
        parts = [
            self._paint("bold", one_line(change.worker.name)),
            f"v{version.version}",
            files_text(change.files),
            change.worker.runtime or "",
            self._paint("dim", label_of(self._remote.target)),
        ]
        self._write("   ".join(part for part in parts if part))

    def _built(self, name: str, version: "VersionInfo", started: float, before: int | None) -> "VersionInfo":
        built = version.status == "building"
        while version.status == "building":
            if time.monotonic() - started > self._timeout:
                raise CommandError(
                    f"{name} v{version.version} is still building.",
                    ExitCode.TIMED_OUT,
                    hint=f"See it end: runwright workers versions {argument(name)}",
                )
            self._transient(f"building   {_seconds(started)}")
            time.sleep(_LOOK_SECONDS)
            version = self._client.workers.version(version.worker_id, version.version)
        self._transient("")
        log = self._client.workers.version_log(version.worker_id, version.version).log if built else ""
        if version.status == "failed":
            self._failed(name, version, log, before=before)
        if built:
            self._step("built", f"{_seconds(started)}   {_packages(log)}")
        return version

    def _failed(self, name: str, version: "VersionInfo", log: str, *, before: int | None) -> None:
        hint = "What served before serves on." if before else _NO_CODE_YET
        lines = printable(log).splitlines()[-_LOG_LINES:]
        sys.stderr.write("".join(f"  │ {line}\n" for line in lines))
        raise CommandError(
            f"The build of {name} v{version.version} failed: {version.error}",
            hint=hint,
        )

    def _served(self, name: str, version: "VersionInfo", before: int | None) -> None:
        if not version.active:
            version = self._client.workers.version(version.worker_id, version.version)
        if not version.active:
            self._step("ready", f"v{version.version}, but another version was chosen meanwhile")
            return
        was = f" (was v{before})" if before and before != version.version else ""
        undo = f"undo: runwright workers rollback {argument(name)} {before}" if was else ""
        first = "" if before else ", its first version" if version.version == 1 else ", the first that serves"
        serving = f"serving v{version.version}{was}{first}"
        self._step(serving, self._paint("dim", undo))

    def _other(self, change: ResourceChange) -> None:
        name = f"{change.worker}: {change.name}" if change.worker else change.name
        try:
            for line in self._send(change):
                self._write(f"    {line}")
        except ApiError as error:
            refused = from_answer(error.status, error.message, error.fields, request_id=error.request_id)
            raise CommandError(
                f"{change.kind} {one_line(name)}: {refused.message}",
                refused.exit_code,
                fields=refused.fields,
                hint=refused.hint or "What is above was done; the same command continues here.",
            ) from None
        self._step("created" if change.act is Act.CREATE else "changed", f"{change.kind} {one_line(name)}")

    def _send(self, change: ResourceChange) -> Iterator[str]:
        """Create or update a resource, and yield what the person has to know: secrets that are shown once."""
        if change.kind == "schedule":
            self._send_schedule(change)
        elif change.kind == "webhook":
            yield from self._send_webhook(change)
        else:
            yield from self._send_automation(change)

    def _send_schedule(self, change: ResourceChange) -> None:
        fields: dict[str, Any] = {name: value for name, value in change.body.items() if value is not None}
        if change.id:
            changed = {field.name: field.new for field in change.fields}
            self._client.schedules.update(change.id, **changed)
        else:
            self._client.schedules.create(change.worker, fields.pop("cron"), fields.pop("timezone"), **fields)

    def _send_webhook(self, change: ResourceChange) -> Iterator[str]:
        if change.id:
            self._client.webhooks.update(change.id, events=change.body["events"])
            return
        made = self._client.webhooks.create(change.body["url"], change.body["events"])
        if made.secret:
            yield f"its signing secret, shown this once: {made.secret}"

    def _send_automation(self, change: ResourceChange) -> Iterator[str]:
        is_hook = change.act is Act.CREATE and change.body.get("event") == WEBHOOK_EVENT
        secret = secrets.token_urlsafe(32) if is_hook else None
        made = send_automation(self._client, change, secret)
        if is_hook:
            yield f"deliveries go to {self._remote.target.url}{getattr(made, 'webhook_path', '')}"
            yield f"its signing secret, shown this once: {secret}"

    def _delete(self, change: ResourceChange) -> None:
        if change.kind == "worker":
            self._client.workers.delete(change.id)
        elif change.kind == "schedule":
            self._client.schedules.delete(change.id)
        elif change.kind == "webhook":
            self._client.webhooks.delete(change.id)
        else:
            api_of(self._client, change).delete(change.id)
        self._step("deleted", f"{change.kind} {one_line(change.name)}")

    def _step(self, done: str, about: str, name: str = "") -> None:
        text = f"{done.ljust(_STEP)} {about}" if len(done) <= _STEP else f"{done}   {about}"
        self._write(f"  {self._paint('green', '✓')} {f'{name}: ' if name else ''}{text}".rstrip())

    def _write(self, line: str) -> None:
        """Print a line; with JSON on stdout it goes to stderr."""
        stream = sys.stderr if self._quiet else sys.stdout
        stream.write(line + "\n")
        stream.flush()

    def _transient(self, text: str) -> None:
        """Show what happens on a line of a terminal that the next one replaces."""
        if is_drawable(sys.stderr):
            sys.stderr.write(f"\r\x1b[2K  {text}" if text else "\r\x1b[2K")
            sys.stderr.flush()


def _detached(name: str, version: "VersionInfo") -> typer.Exit:
    note(f"\nDetached; v{version.version} is still being built, and serves when it is ready.")
    note(f"  see it end  runwright workers versions {argument(name)}", "dim")
    return typer.Exit(ExitCode.INTERRUPTED)


def _seconds(since: float) -> str:
    return f"{time.monotonic() - since:.1f} s"


def _packages(log: str) -> str:
    """Return the packages that an installation has added: `+ humanize 4.12.3`."""
    found = [f"+ {name} {version}" for name, version in _PACKAGE.findall(log)]
    more = f" and {len(found) - _MOST_PACKAGES} more" if len(found) > _MOST_PACKAGES else ""
    return "  ".join(found[:_MOST_PACKAGES]) + more
