"""What happens on a save: deploy what changed, and run it while its log is shown."""

import json
import sys
import textwrap
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runwright.cli.deploy.applying import Applying
from runwright.cli.deploy.command import plan_of
from runwright.cli.deploy.model import Act, Plan
from runwright.cli.exits import report
from runwright.cli.job_rendering import painted_status
from runwright.cli.library_errors import report_other
from runwright.cli.live_lines import LinePrinter, LiveScreen
from runwright.cli.remote import Remote
from runwright.cli.terminal import note, one_line, painter, printable
from runwright.cli.times import milliseconds
from runwright.client.errors import ApiError, ClientError
from runwright.core.errors import RunwrightError

if TYPE_CHECKING:
    from runwright.client.models.jobs import JobInfo

_BUILD_SECONDS: Final = 600.0
_CONFLICT: Final = 409


class DevSession:
    """One `runwright dev`."""

    def __init__(
        self, remote: Remote, folder: Path, input: Mapping[str, Any], *, worker: str | None, runs: bool
    ) -> None:
        self._remote = remote
        self._folder = folder
        self._input = input
        self._worker = worker
        self._runs = runs
        self._running: list[_DevRun] = []
        self._first = True

    def deploy(self, changed: Sequence[Path]) -> None:
        """Deploy what differs from the server, and run it; what goes wrong is printed, not raised."""
        paint = painter(sys.stderr)
        if changed:
            names = ", ".join(printable(path.name) for path in changed[:3])
            note(f"\n{paint('dim', f'{datetime.now().astimezone():%H:%M:%S}')} saved {names}")
        try:
            plan = plan_of(self._remote, self._folder, None, prune=False)
            for warning in plan.warnings:
                note(f"! {warning}", "yellow")
            if not plan.is_empty:
                Applying(self._remote, plan, message=None, timeout=_BUILD_SECONDS).run()
            self._run(self._chosen(plan))
        except RunwrightError as error:
            report(error)
        except ClientError as error:
            report_other(error)

    def close(self) -> None:
        """Cancel the jobs of this session that still run."""
        for run in self._running:
            run.cancel()

    def _chosen(self, plan: Plan) -> list[str]:
        """Return the workers to run: the one that is named, or those that changed; at first the only one."""
        if not self._runs:
            return []
        if self._worker is not None:
            return [self._worker]
        first, self._first = self._first, False
        changed = [change.worker.name for change in plan.workers if change.act is not Act.NONE]
        return changed if changed or not first or len(plan.workers) > 1 else [plan.workers[0].worker.name]

    def _run(self, workers: Sequence[str]) -> None:
        for run in self._running:
            run.cancel()
        client = self._remote.client
        self._running = [_DevRun(self._remote, client.jobs.submit(name, self._input)) for name in workers]


class _DevRun:
    """A job whose log and output are printed by a thread of its own."""

    def __init__(self, remote: Remote, job: "JobInfo") -> None:
        self._client = remote.client
        self._job = job
        self._cancelled = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def cancel(self) -> None:
        """Cancel the job if it still runs, and print no more of it."""
        if self._cancelled.is_set():
            return
        self._cancelled.set()
        try:
            self._client.jobs.cancel(self._job.id)
        except ApiError as error:
            if error.status != _CONFLICT:  # it has ended
                report_other(error)
        except ClientError:  # the server is gone, and with it the job's attempt
            pass

    def _follow(self) -> None:
        printer = LinePrinter(LiveScreen(sys.stdout), self._job.id)
        try:
            for line in self._client.jobs.logs(self._job.id, follow=True):
                if self._cancelled.is_set():
                    return
                printer.line(line)
            self._show_end(self._client.jobs.get(self._job.id))
        except ClientError as error:
            if not self._cancelled.is_set():
                report_other(error)

    def _show_end(self, job: "JobInfo") -> None:
        self._cancelled.set()
        paint = painter(sys.stdout)
        parts = [painted_status(job.status, sys.stdout), milliseconds(job.duration_ms)]
        if job.error is not None:
            parts.append(f"{job.error.code}: {one_line(job.error.message)}")
            if job.error.stack:
                parts.append("\n" + paint("dim", textwrap.indent(printable(job.error.stack.rstrip()), "  ")))
        else:
            parts.append(printable(json.dumps(job.output, ensure_ascii=False)))
        sys.stdout.write("  ".join(part for part in parts if part) + "\n")
        sys.stdout.flush()
