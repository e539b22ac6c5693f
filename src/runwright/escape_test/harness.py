"""The pool in which attempts are made, and what became of its jobs."""

import asyncio
import itertools
from typing import Final

import msgspec

from runwright.core.clock import system_clock
from runwright.egress import Egress
from runwright.escape_test.canaries import Canaries
from runwright.escape_test.model import EscapeAttempt
from runwright.runtimes.host import Host
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus, OutputLine, WorkerCode
from runwright.runtimes.pool.pool import Pool, PoolSettings

PATIENCE_SECONDS: Final = 300.0
"""After which an attempt that shows nothing is given up; far above what a machine at load 30 takes."""
CONCURRENCY: Final = 3
_BOOT_SECONDS: Final = 120.0
_STARTS: Final = 3
"""How often a job is started whose code did not begin, which says nothing about the attempt."""


class JobRecord:
    """One job: its assignment, its log, its outcome."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.bytes = 0
        self.forged = False
        self.outcome: AttemptOutcome | None = None
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def end(self) -> AttemptOutcome:
        if self.outcome is None:
            raise AssertionError
        return self.outcome


class EscapeHarness:
    """A pool, the canaries, and the jobs that were run."""

    def __init__(self, host: Host, canaries: Canaries, egress: Egress) -> None:
        self.canaries = canaries
        self._records: dict[int, JobRecord] = {}
        self._tokens = itertools.count(1)
        self._keys = itertools.count(1)
        self.pool = Pool(
            settings=PoolSettings(
                slots=3 * CONCURRENCY,
                prebooted={},
                warm_limit=1,
                idle_seconds=5.0,
                boot_seconds=_BOOT_SECONDS,
            ),
            host=host,
            egress=egress,
            clock=system_clock,
            on_started=lambda a, _: self._records[a.id].began.set(),
            on_line=self._line,
            on_outcome=self._outcome,
            on_capacity=lambda: None,
        )

    def _line(self, a: Assignment, line: OutputLine) -> None:
        record = self._records[a.id]
        record.bytes += len(line.msg)
        record.forged = record.forged or "forged" in line.msg

    def _outcome(self, a: Assignment, outcome: AttemptOutcome) -> None:
        record = self._records[a.id]
        record.outcome = outcome
        record.ended.set()

    def code(self, source: bytes, attempt: EscapeAttempt | None = None) -> WorkerCode:
        """Return the code of a new worker of a new tenant."""
        number = next(self._keys)
        bundle = str(self.canaries.folder / "bundle") if attempt is not None and attempt.bundle else None
        return WorkerCode(
            key=f"escape/{number}",
            tenant_id=f"tenant-{number}",
            worker_id=f"worker-{number}",
            version=1,
            runtime="python",
            entrypoint=self.canaries.entrypoint(attempt.entrypoint if attempt is not None else None),
            source=b"" if bundle else source,
            memory_mb=attempt.memory_mb if attempt is not None else 64,
            network=attempt.network if attempt is not None else "none",
            bundle=bundle,
        )

    def start_job(
        self,
        code: WorkerCode,
        arguments: dict[str, object],
        *,
        seconds: float,
        env: dict[str, str] | None = None,
    ) -> JobRecord:
        """Start a job; its own token is added to the targets in its arguments."""
        token = next(self._tokens)
        targets = arguments.get("targets")
        if isinstance(targets, dict):
            arguments = {**arguments, "targets": {**targets, "own_token": token}}
        assignment = Assignment(
            id=token,
            job_id=f"job-{token}",
            attempt=1,
            code=code,
            input=msgspec.json.encode(arguments),
            env=env or {},
            timeout_seconds=seconds,
        )
        record = self._records[token] = JobRecord(assignment)
        self.pool.assign(assignment)
        return record

    async def ended(self, record: JobRecord) -> JobRecord:
        """Wait for the end of a job."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await record.ended.wait()
        return record

    async def run_job(
        self,
        code: WorkerCode,
        arguments: dict[str, object],
        *,
        seconds: float,
        env: dict[str, str] | None = None,
    ) -> JobRecord:
        """Run a job to its end; start it again where its code did not begin."""
        for _ in range(_STARTS - 1):
            record = await self.ended(self.start_job(code, arguments, seconds=seconds, env=env))
            if record.end.status is not OutcomeStatus.UNSTARTED:
                return record
        return await self.ended(self.start_job(code, arguments, seconds=seconds, env=env))

    async def sandboxes_gone(self) -> None:
        """Wait until there is no sandbox."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.pool.stats().sandboxes:  # noqa: ASYNC110  the pool does not notify
                await asyncio.sleep(0.01)
