"""A pool on real sandboxes, and a stage that records what it says."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypedDict, Unpack

import msgspec
import pytest

from runwright.core.clock import system_clock
from runwright.core.lease_term import LeaseTerm
from runwright.egress import Egress
from runwright.runtimes.handler_calls import CallReceiver, HandlerCall, Reply, ReportedProgress, refusal
from runwright.runtimes.host import Host, Interpreter, Isolation
from runwright.runtimes.interpreters import InterpreterPaths, find_interpreters
from runwright.runtimes.model import Assignment, AttemptOutcome, OutputLine, RecordLine, WorkerCode
from runwright.runtimes.pool.pool import Pool, PoolSettings
from runwright.runtimes.probe import probe_host
from runwright.sandbox.cgroups import instance_name

ENTRYPOINTS = {
    "python": "main.py",
    "nodejs": "index.js",
    "shell": "main.sh",
    "deno": "main.ts",
    "wasm": "main.wasm",
}
PATIENCE_SECONDS = 90.0
_tokens = itertools.count(1)


@pytest.fixture(scope="session")
def host() -> Host:
    """What this host offers."""
    return probe_host()


@pytest.fixture(scope="session")
def bare(host: Host) -> Host:
    """A host without bubblewrap and cgroups."""
    found = find_interpreters(InterpreterPaths(), readable=os.geteuid() == 0)
    interpreters = {name: one for name, one in found.items() if isinstance(one, Interpreter)}
    return msgspec.structs.replace(
        host,
        bwrap=None,
        seccomp=False,
        cgroup_version=0,
        network=False,
        interpreters=interpreters,
        isolation=Isolation.PROCESS,
    )


class JobOptions(TypedDict, total=False):
    """What `Stage.assign` takes."""

    runtime: str
    worker: str
    version: int
    entrypoint: str | None
    input: bytes
    env: dict[str, str] | None
    secrets: dict[str, str] | None
    seconds: float
    memory_mb: int
    network: object


class JobRecord:
    """One assignment and what became of it."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.id = assignment.id
        self.lines: list[OutputLine] = []
        self.started = 0
        self.outcomes: list[AttemptOutcome] = []
        self.progress: list[ReportedProgress] = []
        self.calls: list[HandlerCall] = []

    @property
    def records(self) -> list[tuple[str, str, object]]:
        """The lines with fields."""
        return [
            (line.level, line.msg, msgspec.json.decode(line.fields))
            for line in self.lines
            if isinstance(line, RecordLine)
        ]

    @property
    def outcome(self) -> AttemptOutcome:
        assert len(self.outcomes) == 1
        return self.outcomes[0]

    @property
    def output(self) -> object:
        assert self.outcome.output is not None, self.outcome
        value: object = msgspec.json.decode(self.outcome.output)
        return value

    @property
    def said(self) -> list[tuple[str, str]]:
        """The lines that the code wrote, without the lifecycle lines around them."""
        return [(line.level, line.msg) for line in self.lines[1:-1]]


class Stage:
    """A pool, and every callback that it made."""

    def __init__(self, host: Host, settings: PoolSettings, egress: Egress | None = None) -> None:
        self.host = host
        self.played: dict[int, JobRecord] = {}
        self.rooms = 0
        self.term = LeaseTerm()
        self._changed = asyncio.Event()
        self.on_outcome: Callable[[JobRecord], None] | None = None
        self.serve: Callable[[HandlerCall], bytes | None] = lambda _: refusal("unavailable", "not here")
        """Answers the calls of handlers, or (None) never does."""
        self.pool = Pool(
            settings=settings,
            host=host,
            clock=system_clock,
            on_started=self._started,
            on_line=self._line,
            on_outcome=self._outcome,
            on_capacity=self._room,
            calls=CallReceiver(self._call, self._progress),
            egress=egress,
            term=self.term,
        )

    def _call(self, a: Assignment, call: HandlerCall, reply: Reply) -> None:
        self.played[a.id].calls.append(call)
        content = self.serve(call)
        if content is not None:
            reply(content)
        self._changed.set()

    def _progress(self, a: Assignment, progress: ReportedProgress) -> None:
        self.played[a.id].progress.append(progress)
        self._changed.set()

    def _started(self, a: Assignment, _at: object) -> None:
        self.played[a.id].started += 1
        self._changed.set()

    def _line(self, a: Assignment, line: OutputLine) -> None:
        self.played[a.id].lines.append(line)
        self._changed.set()

    def _outcome(self, a: Assignment, outcome: AttemptOutcome) -> None:
        played = self.played[a.id]
        played.outcomes.append(outcome)
        assert len(played.outcomes) == 1, "two outcomes for one assignment"
        self._changed.set()
        if self.on_outcome is not None:
            self.on_outcome(played)

    def _room(self) -> None:
        self.rooms += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the condition holds, looking again after each callback of the pool."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def eventually(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the condition holds, where the pool says nothing when it does."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  only the kernel could tell
                await asyncio.sleep(0.01)

    def assign(
        self,
        source: str,
        *,
        runtime: str = "python",
        worker: str = "wkr",
        version: int = 1,
        entrypoint: str | None = None,
        input: bytes = b"{}",
        env: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        seconds: float = 120.0,
        memory_mb: int = 256,
        network: object = "public",
    ) -> JobRecord:
        """Assign a job and return the record of it."""
        code = self.code(
            source,
            runtime=runtime,
            worker=worker,
            version=version,
            entrypoint=entrypoint,
            memory_mb=memory_mb,
            network=network,
        )
        return self.assign_code(code, input=input, env=env, secrets=secrets, seconds=seconds)

    def code(
        self,
        source: str,
        *,
        runtime: str = "python",
        worker: str = "wkr",
        tenant: str = "ten",
        version: int = 1,
        entrypoint: str | None = None,
        memory_mb: int = 256,
        network: object = "public",
    ) -> WorkerCode:
        """Return the code of a worker."""
        return WorkerCode(
            key=f"{worker}/{version}/{runtime}/{hash(source)}/{memory_mb}/{network}",
            tenant_id=tenant,
            worker_id=worker,
            version=version,
            runtime=runtime,
            entrypoint=ENTRYPOINTS.get(runtime, "main") if entrypoint is None else entrypoint,
            source=source.encode("utf-8", "surrogatepass"),
            memory_mb=memory_mb,
            network=network,
        )

    def assign_code(
        self,
        code: WorkerCode,
        *,
        input: bytes = b"{}",
        env: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        seconds: float = 120.0,
    ) -> JobRecord:
        """Assign a job of that code and return the record of it."""
        token = next(_tokens)
        assignment = Assignment(
            id=token,
            job_id=f"job_{token}",
            attempt=1,
            code=code,
            input=input,
            env=env or {},
            secrets=secrets or {},
            timeout_seconds=seconds,
            worker_name=f"worker {code.worker_id}",
        )
        played = self.played[token] = JobRecord(assignment)
        self.pool.assign(assignment)
        return played

    async def finish(self, *played: JobRecord) -> None:
        """Wait for the outcomes of these."""
        await self.until(lambda: all(one.outcomes for one in played))

    async def run(self, source: str, **options: Unpack[JobOptions]) -> JobRecord:
        """Assign a job and wait for its outcome."""
        played = self.assign(source, **options)
        await self.finish(played)
        return played

    async def saying(self, played: JobRecord, text: str) -> None:
        """Wait until the code has written that line."""
        await self.until(lambda: any(line.msg == text for line in played.lines))


def groups_named(prefix: str) -> list[Path]:
    """The control groups whose names begin so; others come and go while we look."""
    found: list[Path] = []
    for folder, children, _ in os.walk("/sys/fs/cgroup"):
        found += [Path(folder, child) for child in children if child.startswith(f"{prefix}-")]
    return found


MakeStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def make_stage(host: Host) -> AsyncIterator[MakeStage]:
    """Makes started stages; when the test is over nothing of them may be left."""
    stages: list[Stage] = []

    async def make(
        on: Host | None = None, *, egress: Egress | None = None, **settings: float | dict[str, int]
    ) -> Stage:
        usual = PoolSettings(prebooted={}, grace_seconds=0.2)
        stage = Stage(on or host, msgspec.structs.replace(usual, **settings), egress)
        stages.append(stage)
        await stage.pool.start()
        return stage

    yield make
    for stage in stages:
        await stage.pool.stop()
        stats = stage.pool.stats()
        assert stats.sandboxes == {}
        assert (stats.running, stats.waiting) == (0, 0)
        assert all(one.outcomes for one in stage.played.values()), "an assignment without an outcome"
    assert groups_named(instance_name()) == []


@pytest.fixture
async def stage(make_stage: MakeStage) -> Stage:
    """A stage with the usual settings and nothing in stock."""
    return await make_stage()
