"""A database host that vanishes, hangs, is full or is replaced, and an executor that is cut off, under load.

Every accepted job ends exactly once, none is lost or doubled, no two attempts of a job overlap, and without
retries none begins twice. `CHAOS=long` gives each fault a field of its own, more load, and a fail-over; it
also asserts the seconds. Run with `-s` for the figures.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import httpx
import msgspec
import pytest
from tests.chaos.field import API_HOSTS, DRAIN_SECONDS, EXECUTOR_HOSTS, LEASE_SECONDS, Field, Load, settled
from tests.chaos.hosts import refusal

if TYPE_CHECKING:
    import asyncpg

LONG: Final = os.environ.get("CHAOS") == "long"
FEEDERS: Final = 8 if LONG else 3
FAULT_SECONDS: Final = 20.0 if LONG else 3.0
BURST: Final = 600 if LONG else 60
SECONDS_TO_SETTLE: Final = 120.0
BACK_WITHIN_SECONDS: Final = 8.0
REFUSED_WITHIN_SECONDS: Final = 3.0
_REFUSAL: Final = refusal()

pytestmark = [
    pytest.mark.skipif(_REFUSAL is not None, reason=str(_REFUSAL)),
    pytest.mark.timeout(900 if LONG else 400),
]


class Figures(msgspec.Struct):
    """What a fault cost."""

    fault: str
    not_ready: float | None = None
    """Seconds until every API said 503 at /readyz."""
    back: float | None = None
    """Seconds from a writable database until a new job of every API had completed."""
    stopped: float | None = None
    """Seconds that a stop took meanwhile."""
    jobs_per_second: float | None = None


Span = tuple[float, float]
Fault = Callable[[Field, Load, Figures], Awaitable[None]]


async def _ready_is(field: Field, status: int, since: float) -> float:
    """Wait until every API answers /readyz with a status; return the seconds since `since`."""

    async def wait(client: httpx.AsyncClient) -> None:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == status:
                    return
            await asyncio.sleep(0.05)

    await asyncio.gather(*map(wait, field.clients))
    return time.monotonic() - since


async def _back(field: Field, load: Load) -> float:
    """Return the seconds from a database that accepts writes to a new job of every API that completed."""
    await field.primary.accepts_writes()
    since = time.monotonic()
    back = max(await asyncio.gather(*(load.completes(client, since) for client in field.clients)))
    await _ready_is(field, 200, since)
    return back


async def claim_together(_: Field, load: Load, figures: Figures) -> None:
    began = time.monotonic()
    await load.burst(BURST, 0.2)
    figures.jobs_per_second = BURST / (time.monotonic() - began)


async def vanish(field: Field, load: Load, figures: Figures) -> None:
    began = time.monotonic()
    field.hosts.cut_off("db1")
    figures.not_ready = await _ready_is(field, 503, began)
    await asyncio.sleep(FAULT_SECONDS)
    field.hosts.reconnect("db1")
    figures.back = await _back(field, load)


async def hang(field: Field, load: Load, figures: Figures) -> None:
    began = time.monotonic()
    field.primary.send_to_all(signal.SIGSTOP)
    figures.not_ready = await _ready_is(field, 503, began)
    stopping = time.monotonic()
    assert await field.members["exe3"].stop() == 0, field.logs()
    figures.stopped = time.monotonic() - stopping
    field.primary.send_to_all(signal.SIGCONT)
    figures.back = await _back(field, load)
    await field.members["exe3"].start()


async def fill_disk(field: Field, load: Load, figures: Figures) -> None:
    ballast = field.disk / "ballast"
    began = time.monotonic()
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    figures.not_ready = await _ready_is(field, 503, began)
    await asyncio.sleep(FAULT_SECONDS)
    ballast.unlink()
    if not field.primary.running:  # it could not even write its log
        await field.primary.start()
    await field.primary.answers()
    figures.back = await _back(field, load)


async def cut_executor_off(field: Field, load: Load, figures: Figures) -> None:
    field.hosts.cut_off("exe2")
    await asyncio.sleep(LEASE_SECONDS + 2)
    field.hosts.reconnect("exe2")
    figures.back = await _back(field, load)


async def switch_over(field: Field, load: Load, figures: Figures) -> None:
    began = time.monotonic()
    await field.primary.stop()
    figures.not_ready = await _ready_is(field, 503, began)
    await field.standby.promote()
    field.databases.reverse()
    figures.back = await _back(field, load)


async def fail_over(field: Field, load: Load, figures: Figures) -> None:
    began = time.monotonic()
    field.hosts.cut_off("db1")
    figures.not_ready = await _ready_is(field, 503, began)
    await field.standby.promote()
    field.databases.reverse()
    figures.back = await _back(field, load)


SHORT_FORM: Final[tuple[Fault, ...]] = (
    claim_together,
    hang,
    fill_disk,
    vanish,
    cut_executor_off,
    switch_over,
)
SETS: Final = [(fault,) for fault in (*SHORT_FORM, fail_over)] if LONG else [SHORT_FORM]


@pytest.mark.parametrize("faults", SETS, ids=lambda faults: "-".join(fault.__name__ for fault in faults))
async def test_every_accepted_job_ends_once_whatever_happens_to_the_hosts(faults: tuple[Fault, ...]) -> None:
    async with Field.open() as field:
        load = Load(field, feeders=FEEDERS)
        await load.make_workers()
        for fault in faults:
            figures = Figures(fault.__name__)
            load.refusals.clear()
            async with load.running():
                await fault(field, load, figures)
            _report(figures, load)
        connection = await settled(field.primary, SECONDS_TO_SETTLE)
        try:
            await _assert_invariants(connection, load, field)
        finally:
            await connection.close()
        assert set((await field.stop()).values()) == {0}, field.logs()
        assert field.hosts.processes([*API_HOSTS, *EXECUTOR_HOSTS]) == [], "a process outlived its server"


def _report(figures: Figures, load: Load) -> None:
    slowest = max(load.refusals, default=None)
    said = {name: value for name, value in msgspec.structs.asdict(figures).items() if value is not None}
    rounded = {name: round(value, 2) if isinstance(value, float) else value for name, value in said.items()}
    refused = f"refused={len(load.refusals)} slowest_refusal={slowest and round(slowest, 2)}"
    sys.stdout.write(f"\n{rounded} {refused}\n")
    if LONG:
        assert (figures.back or 0) <= BACK_WITHIN_SECONDS, figures
        assert (figures.not_ready or 0) <= REFUSED_WITHIN_SECONDS, figures
        assert (slowest or 0) <= REFUSED_WITHIN_SECONDS, figures
        assert (figures.stopped or 0) <= DRAIN_SECONDS, figures


async def _assert_invariants(db: "asyncpg.Connection[asyncpg.Record]", load: Load, field: Field) -> None:
    results = await db.fetch("SELECT job_id, status, error->>'code' AS code FROM job_results")
    ended = Counter(row["job_id"] for row in results)
    lost, unknown = load.accepted - set(ended), set(ended) - load.accepted
    events = await db.fetch("SELECT subject_id FROM events WHERE type LIKE 'job.%'")
    told = Counter(row["subject_id"] for row in events)
    spans = await _spans(db)
    overlapped = [job for job, attempts in spans.items() if _overlap(attempts)]
    without_retries = {
        row["id"] for row in await db.fetch("SELECT id FROM jobs WHERE worker_id = $1", load.workers[0])
    }
    twice = [job for job, attempts in spans.items() if job in without_retries and len(attempts) > 1]
    outcome = Counter((row["status"], row["code"]) for row in results)
    doubled = [job for job, count in told.items() if count > 1]
    sys.stdout.write(
        f"accepted={len(load.accepted)} lost={len(lost)} doubled={len(doubled) + len(unknown)}"
        f" overlapped={len(overlapped)} twice={len(twice)} ends={dict(outcome)} faults={Counter(load.faults)}\n"
    )
    assert lost == unknown == set(), field.logs()
    assert told == ended, "a job with more or less than one terminal event"
    assert twice == [], "an attempt without retries was run again"
    assert overlapped == [], "two attempts of a job ran at once"
    assert [fault for fault in load.faults if fault[:1].isdigit()] == [], (
        "errors other than 503 with Retry-After"
    )


async def _spans(db: "asyncpg.Connection[asyncpg.Record]") -> dict[str, list[Span]]:
    """When attempts began and ended, by job, as they logged it themselves."""
    lines = await db.fetch(
        """
        SELECT c.job_id, line->>2 AS text FROM job_log_chunks c
        CROSS JOIN LATERAL json_array_elements(c.lines) AS line
        """
    )
    times: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in lines:
        words = row["text"].split()
        if words[0] in {"began", "ended"}:
            word, attempt, at = words
            times[row["job_id"], attempt][word] = float(at)
    spans: dict[str, list[Span]] = defaultdict(list)
    for (job, _), found in times.items():
        spans[job].append((found.get("began", 0.0), found.get("ended", 0.0)))
    return {job: sorted(found) for job, found in spans.items()}


def _overlap(spans: list[Span]) -> bool:
    """Return whether an attempt began before the one before it had ended."""
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))
