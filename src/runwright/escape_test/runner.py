"""Make the attempts as jobs of hostile workers in a pool of their own.

An attempt reports whether it escaped, with evidence; where it could be wrong, a check from outside
decides. An attempt that ends in an unexpected way is broken: then nothing is known, and the test as a
whole has failed.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.escape_test.canaries import Canaries
from runwright.escape_test.catalogue import worker_source
from runwright.escape_test.harness import CONCURRENCY, PATIENCE_SECONDS, EscapeHarness, JobRecord
from runwright.escape_test.model import EscapeAttempt, EscapeResult, EscapeVerdict
from runwright.escape_test.network import SimulatedNetwork
from runwright.runtimes.host import Host
from runwright.runtimes.model import AttemptOutcome, OutcomeStatus, WorkerCode
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
_LEAST_SECONDS: Final = 120.0
"""What a job may take that is not meant to time out: a verdict must not depend on the machine's load."""
_FILTER: Final = "filter"
_MAX_BY_CHARACTERS: Final = 200
_DEATH_SECONDS: Final = 60.0
"""How long the pool may take to kill what a job left behind."""


class ProgramResult(msgspec.Struct):
    """What the program of an attempt returns."""

    escaped: bool
    by: str


def meaningful_attempts(host: Host, attempts: Sequence[EscapeAttempt]) -> list[EscapeAttempt]:
    """Return the attempts without those on a feature that this level of isolation does not have."""
    return [one for one in attempts if host.seccomp or _FILTER not in one.needs]


async def run_attempts(
    host: Host,
    canaries: Canaries,
    attempts: Sequence[EscapeAttempt],
    on_result: Callable[[EscapeResult], None],
) -> list[EscapeResult]:
    """Make the meaningful attempts, some concurrently; report each result at once, return all in order."""
    attempts = meaningful_attempts(host, attempts)
    results: dict[str, EscapeResult] = {}
    async with _open_harness(host, canaries) as harness:
        slots = asyncio.Semaphore(CONCURRENCY)

        async def make(attempt: EscapeAttempt) -> None:
            async with slots:
                result = results[attempt.name] = await _make_in_time(harness, attempt)
                on_result(result)

        await asyncio.gather(*(make(attempt) for attempt in attempts if not _must_run_alone(attempt)))
        for attempt in attempts:
            if _must_run_alone(attempt):
                await make(attempt)
    return [results[attempt.name] for attempt in attempts]


def _must_run_alone(attempt: EscapeAttempt) -> bool:
    """Return whether concurrent attempts could be mistaken for this one's success, or disturb it."""
    return attempt.check in {"victim", "host_write", "executor", "descriptors"} or attempt.same_uid


async def _make_in_time(harness: EscapeHarness, attempt: EscapeAttempt) -> EscapeResult:
    began = time.monotonic()
    try:
        verdict, by = await _make(harness, attempt)
    except TimeoutError:
        verdict, by = EscapeVerdict.BROKEN, "it did not end"
    return EscapeResult(
        name=attempt.name,
        group=attempt.group,
        tries=attempt.tries,
        verdict=verdict,
        by=by if len(by) <= _MAX_BY_CHARACTERS else by[: _MAX_BY_CHARACTERS - 1] + "…",
        milliseconds=round(1000 * (time.monotonic() - began)),
    )


@asynccontextmanager
async def _open_harness(host: Host, canaries: Canaries) -> AsyncIterator[EscapeHarness]:
    egress = SimulatedNetwork(canaries.targets).egress
    egress.start()
    harness = EscapeHarness(host, canaries, egress)
    await harness.pool.start()
    inheritable = os.open(canaries.folder / "secret", os.O_RDONLY)
    os.set_inheritable(inheritable, True)  # noqa: FBT003  and still must not reach a sandbox
    try:
        yield harness
    finally:
        os.close(inheritable)
        await harness.pool.stop()
        egress.stop()


async def _make(harness: EscapeHarness, attempt: EscapeAttempt) -> tuple[EscapeVerdict, str]:
    arguments: dict[str, object] = {"function": attempt.function, "first": False}
    targets = {**harness.canaries.targets, "first_seconds": attempt.first_seconds}
    code = harness.code(worker_source(attempt.group.replace(" ", "_")), attempt)
    if attempt.same_uid:
        await harness.pool.kill_all()
    neighbour = await _neighbour(harness) if attempt.neighbour or attempt.check == "forgery" else None
    if neighbour is not None:
        targets["token"] = neighbour.assignment.id
    if attempt.after is not None:
        broken = await _make_first(harness, attempt, code, targets)
        if broken is not None:
            return EscapeVerdict.BROKEN, broken
    before = _descriptors()
    seconds = _limit(attempt.seconds, attempt.ends)
    record = await harness.run_job(code, {**arguments, "targets": targets}, seconds=seconds)
    verdict, by = _judge(attempt, record.end)
    if neighbour is not None:
        await harness.ended(neighbour)
    if attempt.check is None or verdict is EscapeVerdict.BROKEN:
        return verdict, by
    escaped = await _CHECKS[attempt.check](harness, record, neighbour, before)
    if escaped is not None:
        return EscapeVerdict.ESCAPED, escaped
    return EscapeVerdict.STOPPED, by if verdict is EscapeVerdict.STOPPED else f"without effect ({by})"


def _limit(seconds: float, ends: tuple[str, ...]) -> float:
    return seconds if ErrorCode.TIMEOUT in ends else max(seconds, _LEAST_SECONDS)


async def _make_first(
    harness: EscapeHarness, attempt: EscapeAttempt, code: WorkerCode, targets: dict[str, object]
) -> str | None:
    """Run the job before the attempt; return what went wrong with it."""
    if not attempt.same_worker:
        code = harness.code(code.source)
    secret = {"CANARY_SECRET": harness.canaries.canary} if attempt.secret else None
    arguments: dict[str, object] = {"function": attempt.after, "first": True, "targets": targets}
    seconds = _limit(attempt.first_seconds, attempt.after_ends)
    outcome = (await harness.run_job(code, arguments, seconds=seconds, env=secret)).end
    if attempt.same_uid:
        await harness.sandboxes_gone()
    await asyncio.sleep(attempt.rest_seconds)
    if outcome.status is OutcomeStatus.COMPLETED or outcome.error_code in attempt.after_ends:
        return None
    return f"the job before it failed: {outcome.error_code}: {outcome.error_message}"


async def _neighbour(harness: EscapeHarness) -> JobRecord:
    arguments: dict[str, object] = {"seconds": _NEIGHBOUR_SECONDS}
    env = {"SECRET": harness.canaries.canary}
    record = harness.start_job(harness.code(_NEIGHBOUR), arguments, seconds=_LEAST_SECONDS, env=env)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await record.began.wait()
    return record


def _judge(attempt: EscapeAttempt, outcome: AttemptOutcome) -> tuple[EscapeVerdict, str]:
    """Return the verdict that follows from the job's outcome."""
    if outcome.status is OutcomeStatus.COMPLETED and outcome.output is not None:
        try:
            result = msgspec.json.decode(outcome.output, type=ProgramResult)
        except msgspec.DecodeError:
            return EscapeVerdict.BROKEN, f"it returned {outcome.output[:80]!r}"
        return (EscapeVerdict.ESCAPED if result.escaped else EscapeVerdict.STOPPED), result.by
    by = f"{outcome.error_code}: {outcome.error_message}"
    return (EscapeVerdict.STOPPED if outcome.error_code in attempt.ends else EscapeVerdict.BROKEN), by


# Checks from outside: each returns how the attempt escaped, or None

_Check = Callable[[EscapeHarness, JobRecord, JobRecord | None, int], Awaitable[str | None]]


async def _victim(
    harness: EscapeHarness, _record: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    return "the process was killed" if harness.canaries.victim_died() else None


async def _host_write(
    harness: EscapeHarness, _record: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    return "there is a new file on the host" if harness.canaries.host_was_written() else None


async def _log(
    _harness: EscapeHarness, record: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    kept = record.bytes
    return f"{kept} bytes were kept" if kept > LOG_BYTES + 1000 else None


async def _forgery(
    _harness: EscapeHarness, _record: JobRecord, neighbour: JobRecord | None, _before: int
) -> str | None:
    if neighbour is None:
        raise AssertionError
    if neighbour.end.output != b'"honest"' or neighbour.forged:
        return f"the other tenant's job ended as {neighbour.end.output!r} {neighbour.end.error_message}"
    return None


async def _executor(
    harness: EscapeHarness, _record: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    healthy = await harness.run_job(harness.code(_HEALTHY), {}, seconds=_LEAST_SECONDS)
    if healthy.end.output != b'"healthy"':
        return f"the next job ended as {healthy.end.error_code}: {healthy.end.error_message}"
    return None


async def _descriptor_check(
    harness: EscapeHarness, record: JobRecord, neighbour: JobRecord | None, before: int
) -> str | None:
    more = _descriptors() - before
    if more > 64:  # noqa: PLR2004  a sandbox costs a few
        return f"the executor has {more} descriptors more than before"
    return await _executor(harness, record, neighbour, before)


async def _daemon(
    harness: EscapeHarness, _record: JobRecord, _neighbour: JobRecord | None, _before: int
) -> str | None:
    name = harness.canaries.targets["daemon"]
    deadline = time.monotonic() + _DEATH_SECONDS
    while found := processes_named(name):
        if time.monotonic() > deadline:
            return f"process {found[0]} is still running"
        await asyncio.sleep(0.05)
    return None


def processes_named(name: str) -> list[int]:
    """Return the processes with that name."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
    return found


_CHECKS: Final[dict[str, _Check]] = {
    "victim": _victim,
    "host_write": _host_write,
    "log": _log,
    "forgery": _forgery,
    "executor": _executor,
    "descriptors": _descriptor_check,
    "daemon": _daemon,
}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a count, no paths
