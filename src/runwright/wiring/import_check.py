"""Imports the code of a new version in a sandbox of its own, before it serves.

The sandbox is that of a job: the worker's memory, network, config and secrets. The code is loaded and its
handler found, and nothing is called. A version whose secrets are not set yet is not imported.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from runwright.builds.log import BuildLog
from runwright.builds.model import Build
from runwright.core.ids import JobId, WorkerId
from runwright.core.job_state import ErrorCode
from runwright.db.pool import Database
from runwright.executor.preparation import Preparation, Refusal
from runwright.executor.worker_cache import load_worker
from runwright.jobs.model import ClaimedAttempt
from runwright.runtimes.model import Assignment, AttemptOutcome, OnLine, OnOutcome, OutcomeStatus
from runwright.runtimes.pool.pool import Pool
from runwright.workers.store import fetch_revision

SECONDS: Final = 60.0
"""How long code may take to be imported, unless its jobs may take less."""
_LIFECYCLE: Final = 2
"""The first and the last line of a job's log, which are ours."""

MakeCheckPool = Callable[[OnLine, OnOutcome], Pool]
"""Makes a pool of one sandbox with these callbacks."""


class ImportFailedError(Exception):
    """The sandbox could not be started, or was lost: of this host, and another try may succeed."""


class ImportChecks:
    """Imports the code of versions on this host."""

    def __init__(self, db: Database, *, preparation: Preparation, make_pool: MakeCheckPool) -> None:
        self._db = db
        self._preparation = preparation
        self._make_pool = make_pool

    async def problem(self, build: Build, layer_key: str | None, log: BuildLog) -> str | None:
        """Return why the code of a version cannot be imported, None if it can; its output is in the log."""
        revision = await fetch_revision(self._db, worker_id=build.worker_id, pinned_version=build.version)
        if revision is None:
            return None
        worker = load_worker(msgspec.structs.replace(revision, layer_key=layer_key))
        prepared = await self._preparation.prepare(1, _attempt(build), worker)
        if isinstance(prepared, Refusal):
            if prepared.code is not ErrorCode.MISSING_SECRET:
                return prepared.message
            log.note(f"the code was not imported. {prepared.message}")
            return None
        log.note(f"importing {build.entrypoint}")
        code = msgspec.structs.replace(prepared.code, only_load=True)
        seconds = min(SECONDS, prepared.timeout_seconds)
        outcome = await self._run(msgspec.structs.replace(prepared, code=code, timeout_seconds=seconds), log)
        return _problem(outcome, code.bundle, seconds)

    async def _run(self, assignment: Assignment, log: BuildLog) -> AttemptOutcome:
        done: asyncio.Future[AttemptOutcome] = asyncio.get_running_loop().create_future()
        lines: list[str] = []
        pool = self._make_pool(
            lambda _, line: lines.append(line.msg),
            lambda _, outcome: None if done.done() else done.set_result(outcome),
        )
        await pool.start()
        try:
            pool.assign(assignment)
            outcome = await done
        finally:
            await pool.stop()
        own = lines[1:-1] if len(lines) >= _LIFECYCLE else []
        stack = (outcome.error_stack or "").splitlines()
        log.write("".join(f"{line}\n" for line in [*own, *stack]).encode())
        return outcome


def _attempt(build: Build) -> ClaimedAttempt:
    return ClaimedAttempt(
        tenant_id=build.tenant_id,
        job_id=JobId("job_import"),
        worker_id=WorkerId(build.worker_id),
        worker_version=build.version,
        worker_revision=0,
        attempt=1,
        retries_left=0,
        fence=0,
        input=b"{}",
        awaited=False,
    )


def _problem(outcome: AttemptOutcome, bundle: str | None, seconds: float) -> str | None:
    """Return what is wrong with the code by how its import ended."""
    if outcome.status is OutcomeStatus.COMPLETED:
        return None
    if outcome.status is not OutcomeStatus.FAILED or outcome.error_code == ErrorCode.EXECUTOR_LOST:
        raise ImportFailedError(outcome.error_message or "the sandbox did not start")
    if outcome.error_code == ErrorCode.TIMEOUT:
        return f"The code was not imported within {seconds:g} seconds."
    message = f"The code cannot be imported. {outcome.error_message}"
    folder = Path(bundle) if bundle is not None else None
    missing = "ModuleNotFoundError" in message and folder is not None
    if missing and folder is not None and _has_project_file_only(folder):
        message += "\npyproject.toml is not read; list the dependencies in requirements.txt."
    return message


def _has_project_file_only(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and not (folder / "requirements.txt").is_file()
