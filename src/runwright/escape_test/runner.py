"""Makes the attempts, one after the other, as jobs of hostile workers in a pool of their own.

An attempt says itself whether it got out, and brings back evidence; where it could lie or not
know, a check looks from outside. An attempt that ends in any other way than it may is broken:
then nothing is known, and the test as a whole has failed.
"""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from runwright.core.clock import system_clock
from runwright.egress import Egress
from runwright.escape_test.canaries import Canaries
from runwright.escape_test.catalogue import worker_source
from runwright.escape_test.model import Attempt, Result, Verdict
from runwright.escape_test.network import Outside
from runwright.runtimes.host import Host
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus, OutputLine, WorkerCode
from runwright.runtimes.pool.pool import Pool, PoolSettings
from runwright.runtimes.protocol import LOG_BYTES

_NEIGHBOUR: Final = b"""
import os, time
def handler(input, env):
    for folder in ("/tmp", "/work"):
        if os.access(folder, os.W_OK):
            with open(folder + "/file-of-a-neighbour", "w") as file:
                file.write(env["SECRET"])
    print("honest")
    time.sleep(input["seconds"])
    return "honest"
"""
_NEIGHBOUR_SECONDS: Final = 0.8
_HEALTHY: Final = b"def handler(input, env):\n    return 'healthy'\n"
_PATIENCE_SECONDS: Final = 30.0
_BY_CHARS: Final = 200
_LANES: Final = 3
_DEATH_SECONDS: Final = 5.0
"""For the pool to kill what a job left behind."""


class Answer(msgspec.Struct):
    """What an attempt returns."""

    escaped: bool
    by: str


class JobRecord:
    """One job: what it was, what it wrote, how it ended."""

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


class Range:
    """A pool, the baits, and the jobs that were played."""

    def __init__(self, host: Host, baits: Canaries, egress: Egress) -> None:
        self.baits = baits
        self._played: dict[int, JobRecord] = {}
        self._tokens = itertools.count(1)
        self._keys = itertools.count(1)
        self.pool = Pool(
            settings=PoolSettings(slots=3 * _LANES, prebooted={}, warm_limit=1, idle_seconds=5.0),
            host=host,
            egress=egress,
            clock=system_clock,
            on_started=lambda a, _: self._played[a.id].began.set(),
            on_line=self._line,
            on_outcome=self._outcome,
            on_capacity=lambda: None,
        )

    def _line(self, a: Assignment, line: OutputLine) -> None:
        played = self._played[a.id]
        played.bytes += len(line.msg)
        played.forged = played.forged or "forged" in line.msg

    def _outcome(self, a: Assignment, outcome: AttemptOutcome) -> None:
        played = self._played[a.id]
        played.outcome = outcome
        played.ended.set()

    def code(self, source: bytes, attempt: Attempt | None = None) -> WorkerCode:
        """Return the code of a worker of a tenant of its own."""
        number = next(self._keys)
        bundle = str(self.baits.folder / "bundle") if attempt is not None and attempt.bundle else None
        return WorkerCode(
            key=f"escape/{number}",
            tenant_id=f"tenant-{number}",
            worker_id=f"worker-{number}",
            version=1,
            runtime="python",
            entrypoint=self.baits.entrypoint(attempt.entrypoint if attempt is not None else None),
            source=b"" if bundle else source,
            memory_mb=attempt.memory_mb if attempt is not None else 64,
            network=attempt.network if attempt is not None else "none",
            bundle=bundle,
        )

    def play(
        self, code: WorkerCode, words: dict[str, object], *, seconds: float, env: dict[str, str] | None = None
    ) -> JobRecord:
        """Start a job; its own token is among the words of its input."""
        token = next(self._tokens)
        bait = words.get("bait")
        if isinstance(bait, dict):
            words = {**words, "bait": {**bait, "own_token": token}}
        assignment = Assignment(
            id=token,
            job_id=f"job-{token}",
            attempt=1,
            code=code,
            input=msgspec.json.encode(words),
            env=env or {},
            timeout_seconds=seconds,
        )
        played = self._played[token] = JobRecord(assignment)
        self.pool.assign(assignment)
        return played

    async def ended(self, played: JobRecord) -> JobRecord:
        """Wait for the end of a job."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await played.ended.wait()
        return played

    async def nothing_left(self) -> None:
        """Wait until no sandbox is left."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while self.pool.stats().sandboxes:  # noqa: ASYNC110  the pool does not say when
                await asyncio.sleep(0.01)


async def run_attempts(
    host: Host, baits: Canaries, attempts: Sequence[Attempt], told: Callable[[Result], None]
) -> list[Result]:
    """Make the attempts, some beside each other; tell each result as it comes, return them in order."""
    results: dict[str, Result] = {}
    async with _open_range(host, baits) as field:
        lanes = asyncio.Semaphore(_LANES)

        async def make(attempt: Attempt) -> None:
            async with lanes:
                result = results[attempt.name] = await _make_in_time(field, attempt)
                told(result)

        await asyncio.gather(*(make(attempt) for attempt in attempts if not _needs_quiet(attempt)))
        for attempt in attempts:
            if _needs_quiet(attempt):
                await make(attempt)
    return [results[attempt.name] for attempt in attempts]


def _needs_quiet(attempt: Attempt) -> bool:
    """Tell whether what else goes on could be taken for the attempt's success, or spoil it."""
    return attempt.check in {"victim", "planted", "executor", "descriptors"} or attempt.same_uid


async def _make_in_time(field: Range, attempt: Attempt) -> Result:
    began = time.monotonic()
    try:
        verdict, by = await _make(field, attempt)
    except TimeoutError:
        verdict, by = Verdict.BROKEN, "it did not end"
    return Result(
        name=attempt.name,
        group=attempt.group,
        tries=attempt.tries,
        verdict=verdict,
        by=by if len(by) <= _BY_CHARS else by[: _BY_CHARS - 1] + "…",
        milliseconds=round(1000 * (time.monotonic() - began)),
    )


@asynccontextmanager
async def _open_range(host: Host, baits: Canaries) -> AsyncIterator[Range]:
    egress = Outside(baits.words).egress
    egress.start()
    field = Range(host, baits, egress)
    await field.pool.start()
    inheritable = os.open(baits.folder / "secret", os.O_RDONLY)
    os.set_inheritable(inheritable, True)  # noqa: FBT003  it must not reach a sandbox all the same
    try:
        yield field
    finally:
        os.close(inheritable)
        await field.pool.stop()
        egress.stop()


async def _make(field: Range, attempt: Attempt) -> tuple[Verdict, str]:
    words: dict[str, object] = {"function": attempt.function, "first": False}
    bait = {**field.baits.words, "first_seconds": attempt.first_seconds}
    code = field.code(worker_source(attempt.group.replace(" ", "_")), attempt)
    if attempt.same_uid:
        await field.pool.kill_all()
    neighbour = await _neighbour(field) if attempt.neighbour or attempt.check == "forgery" else None
    if neighbour is not None:
        bait["token"] = neighbour.assignment.id
    if attempt.after is not None:
        broken = await _make_first(field, attempt, code, bait)
        if broken is not None:
            return Verdict.BROKEN, broken
    before = _descriptors()
    played = await field.ended(field.play(code, {**words, "bait": bait}, seconds=attempt.seconds))
    verdict, by = _judge(attempt, played.end)
    if neighbour is not None:
        await field.ended(neighbour)
    if attempt.check is None or verdict is Verdict.BROKEN:
        return verdict, by
    got_out = await _CHECKS[attempt.check](field, played, neighbour, before)
    if got_out is not None:
        return Verdict.ESCAPED, got_out
    return Verdict.STOPPED, by if verdict is Verdict.STOPPED else f"without effect ({by})"


async def _make_first(
    field: Range, attempt: Attempt, code: WorkerCode, bait: dict[str, object]
) -> str | None:
    """Run the job before; return what went wrong with it."""
    if not attempt.same_worker:
        code = field.code(code.source)
    secret = {"BAIT_SECRET": field.baits.mark} if attempt.secret else None
    words: dict[str, object] = {"function": attempt.after, "first": True, "bait": bait}
    played = field.play(code, words, seconds=attempt.first_seconds, env=secret)
    outcome = (await field.ended(played)).end
    if attempt.same_uid:
        await field.nothing_left()
    if outcome.status is OutcomeStatus.COMPLETED or outcome.error_code in attempt.after_ends:
        return None
    return f"the job before it failed: {outcome.error_code}: {outcome.error_message}"


async def _neighbour(field: Range) -> JobRecord:
    words: dict[str, object] = {"seconds": _NEIGHBOUR_SECONDS}
    env = {"SECRET": field.baits.mark}
    played = field.play(field.code(_NEIGHBOUR), words, seconds=10, env=env)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await played.began.wait()
    return played


def _judge(attempt: Attempt, outcome: AttemptOutcome) -> tuple[Verdict, str]:
    """Return what the job's end says about the attempt."""
    if outcome.status is OutcomeStatus.COMPLETED and outcome.output is not None:
        try:
            answer = msgspec.json.decode(outcome.output, type=Answer)
        except msgspec.DecodeError:
            return Verdict.BROKEN, f"it answered {outcome.output[:80]!r}"
        return (Verdict.ESCAPED if answer.escaped else Verdict.STOPPED), answer.by
    by = f"{outcome.error_code}: {outcome.error_message}"
    return (Verdict.STOPPED if outcome.error_code in attempt.ends else Verdict.BROKEN), by


# The checks from outside: each returns how the attempt got out, or None

_Check = Callable[[Range, JobRecord, JobRecord | None, int], Awaitable[str | None]]


async def _victim(field: Range, _played: JobRecord, _neighbour: JobRecord | None, _before: int) -> str | None:
    return "the process was killed" if field.baits.victim_died() else None


async def _planted(
    field: Range, _played: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    return "there is a new file on the host" if field.baits.was_planted() else None


async def _log(_field: Range, played: JobRecord, _neighbour: JobRecord | None, _before: int) -> str | None:
    kept = played.bytes
    return f"{kept} bytes were kept" if kept > LOG_BYTES + 1000 else None


async def _forgery(
    _field: Range, _played: JobRecord, neighbour: JobRecord | None, _before: int
) -> str | None:
    if neighbour is None:
        raise AssertionError
    if neighbour.end.output != b'"honest"' or neighbour.forged:
        return f"the other tenant's job ended as {neighbour.end.output!r} {neighbour.end.error_message}"
    return None


async def _executor(
    field: Range, _played: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    healthy = await field.ended(field.play(field.code(_HEALTHY), {}, seconds=10))
    if healthy.end.output != b'"healthy"':
        return f"the next job ended as {healthy.end.error_code}: {healthy.end.error_message}"
    return None


async def _descriptor_check(
    field: Range, played: JobRecord, neighbour: JobRecord | None, before: int
) -> str | None:
    more = _descriptors() - before
    if more > 64:  # noqa: PLR2004  a sandbox costs a few
        return f"the executor holds {more} descriptors more than before"
    return await _executor(field, played, neighbour, before)


async def _daemon(field: Range, _played: JobRecord, _neighbour: JobRecord | None, _before: int) -> str | None:
    name = field.baits.words["daemon"]
    deadline = time.monotonic() + _DEATH_SECONDS
    while found := processes_called(name):
        if time.monotonic() > deadline:
            return f"process {found[0]} lives on"
        await asyncio.sleep(0.05)
    return None


def processes_called(name: str) -> list[int]:
    """Return the processes that call themselves so."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
    return found


_CHECKS: Final[dict[str, _Check]] = {
    "victim": _victim,
    "planted": _planted,
    "log": _log,
    "forgery": _forgery,
    "executor": _executor,
    "descriptors": _descriptor_check,
    "daemon": _daemon,
}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count, no paths
