"""The bars: what each figure of ours has to reach, against the named peer of the same run.

Where that peer was not measured, the bar falls back to a figure for it from another machine of
two cores, and says so.
"""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Final

import msgspec

from tests.bench import dashboard, fairness, streams
from tests.bench.cold import NEXT
from tests.bench.commands import BARE
from tests.bench.isolation import BESIDE
from tests.bench.latency import HUEY, SPLIT
from tests.bench.neighbours import ALONE, MISUSE
from tests.bench.result import Latency, Throughput
from tests.bench.results import OURS, Results

SUBMIT_TIMES: Final = (1.0, 1.5)
DRAIN_DRAMATIQ_TIMES: Final = 2.5
DRAIN_PGQUEUER_TIMES: Final = (0.5, 1.0)
DRAMATIQ_SUBMIT: Final = 3390.0
DRAMATIQ_DRAIN: Final = 3670.0
PGQUEUER_DRAIN: Final = 15100.0
HUEY_MS: Final = {"p50": 1.0, "p99": 1.8}
WAIT_TIMES: Final = {"first": 1.5, "aim": 1.0}
"""How many times as long as a call of huey: ours is durable, sandboxed and over HTTP."""

SPLIT_TIMES: Final = {"first": 3.0, "aim": 2.0}
"""How many times as long as one process API and executor take that are two."""
COLD_AIM_MS: Final = 5.0
BARE_MS: Final = {"python": 14.0, "nodejs": 80.0, "deno": 14.0}
COMMAND_MS: Final = {
    "runwright --help": 150.0,
    "runwright jobs list": 250.0,
    "completion of an option": 150.0,
    "completion of a worker": 150.0,
    "completion without a server": 150.0,
}
"""On a machine where a bare start of python takes as long as in BARE_MS."""

CANCEL_SECONDS: Final = 2.0
MODULE_MS: Final = 5.0
MEMORY_MIB: Final = (160.0, 120.0)
DOUBLE: Final = 2.0
LISTING_MS: Final = (10.0, 5.0)
STORED_TIMES: Final = {"first": 1.2, "aim": 1.05}
"""How many times as long a drain may take beside many stored and queued jobs."""

PRUNED_PART: Final = {"first": 0.9, "aim": 0.97}
INTERACTIVE_MS: Final = 1000.0
OWN_MS: Final = {"first": 8.0, "aim": 4.0}
"""What a page may take of the 16.7 ms of a frame for its scripts, styles and layout; the browser has to draw, too."""

TICK_LATENESS_MS: Final = 1000.0
IDLE_CORES: Final = 0.2
WEBHOOKS_PER_SECOND: Final = 980.0
"""Of a thousand events a second; the last batch takes its time, too."""

WEBHOOK_LATENESS_MS: Final = 1000.0
COPY_FACTOR: Final = 6.0
"""One event to many agents takes no longer than so many times copying as many like rows."""

EVENTS_PER_SECOND: Final = 980.0
EXECUTION_LATENESS_MS: Final = 1000.0
INGRESS_PER_SECOND: Final = 490.0
"""Of five hundred a second; the last one takes its time, too."""

INGRESS_MS: Final = 50.0
LIVEZ_MS: Final = (50.0, 20.0)
MASKED_PER_SECOND: Final = 1.0
"""Megabytes of log and output, with 50 secrets, from jobs that run in sandboxes beside."""
QUIET_WAIT_MS: Final = 1000.0
STREAMS_FACTOR: Final = 1.15
"""Open streams cost a job no latency that could be told from the noise of a shared machine."""

OF_IDEAL: Final = {3: 0.95, 10: 0.9}
"""How much of the ideal throughput so many executors reach."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One bar. `ratio` is how many times over it we are (1 or more: met), for either direction."""

    figure: str
    level: str
    wanted: str
    measured: float
    unit: str
    ratio: float
    met: bool


def middle(rounds: list[Throughput]) -> float:
    """Return the median throughput of the rounds."""
    return median(one.per_second for one in rounds)


def bars_of(results: Results) -> list[Bar]:
    """Return every bar that something was measured for."""
    bars = [*_submit(results.submit), *_drain(results.drain), *_wait(results)]
    single = [
        *_cold(results),
        *_memory(results),
        *_listing(results),
        *_storage(results),
        *_dashboard(results),
        *_schedules(results),
        *_webhooks(results),
        *_agents(results),
        *_ingress(results),
    ]
    shared = [*_neighbours(results), *_isolation(results), *_fairness(results), *_claimers(results)]
    shared += [*_masking(results), *_bulk(results), *_commands(results), *_streams(results)]
    return [*bars, *single, *shared]


def _submit(systems: Mapping[str, list[Throughput]]) -> Iterator[Bar]:
    if OURS in systems:
        ours, (peer, note) = middle(systems[OURS]), _peer(systems, "dramatiq", DRAMATIQ_SUBMIT)
        for level, times in zip(("first", "aim"), SUBMIT_TIMES, strict=True):
            yield _at_least("submit", level, ours, times * peer, f"{note} x {times}")


def _drain(systems: Mapping[str, list[Throughput]]) -> Iterator[Bar]:
    if OURS in systems:
        ours, (peer, note) = middle(systems[OURS]), _peer(systems, "dramatiq", DRAMATIQ_DRAIN)
        yield _at_least(
            "drain", "first", ours, DRAIN_DRAMATIQ_TIMES * peer, f"{note} x {DRAIN_DRAMATIQ_TIMES}"
        )
        best, best_note = _peer(systems, "pgqueuer", PGQUEUER_DRAIN)
        for level, times in zip(("first", "aim"), DRAIN_PGQUEUER_TIMES, strict=True):
            yield _at_least("drain", level, ours, times * best, f"{best_note} x {times}")


def _wait(results: Results) -> Iterator[Bar]:
    if not results.wait:
        return
    for name, usual in HUEY_MS.items():
        ours, split, theirs = (_middle_of(results.wait, system, name) for system in (OURS, SPLIT, HUEY))
        peer = f"huey, {'of another run, ' if theirs is None else ''}"
        for (level, times), (_, split_times) in zip(WAIT_TIMES.items(), SPLIT_TIMES.items(), strict=True):
            if ours is not None:
                bar = _at_most(f"trigger to result, {name}", level, ours, times * (theirs or usual), "ms")
                yield msgspec.structs.replace(bar, wanted=f"{bar.wanted} ({peer}x {times})")
            if ours is not None and split is not None:
                yield _at_most(f"the same, {SPLIT}, {name}", level, split, split_times * ours, "ms")


def _middle_of(rounds: list[dict[str, Latency]], system: str, name: str) -> float | None:
    """Return the median over the rounds of one percentile of a system, if it was measured."""
    values = [getattr(one[system], f"{name}_ms") for one in rounds if system in one]
    return median(values) if values else None


def _cold(results: Results) -> Iterator[Bar]:
    for runtime, usual in BARE_MS.items():
        rounds = [one for one in results.cold if runtime in one]
        if rounds:
            ours = median(one[runtime].p50_ms for one in rounds)
            bare = [one[f"bare {runtime}"].p50_ms for one in rounds if f"bare {runtime}" in one]
            yield _at_most(f"first job, {runtime}, p50", "first", ours, median(bare or [usual]), "ms")
            yield _at_most(f"first job, {runtime}, p50", "aim", ours, COLD_AIM_MS, "ms")
    modules = [one for one in results.cold if "wasm" in one and f"wasm, {NEXT}" in one]
    if modules:
        added = median(one["wasm"].p50_ms - one[f"wasm, {NEXT}"].p50_ms for one in modules)
        yield _at_most("cold start of compiled wasm, p50", "first", added, MODULE_MS, "ms")
        whole = median(one["wasm"].p50_ms for one in modules)
        yield _at_most("the same with its commits", "aim", whole, MODULE_MS, "ms")


def _memory(results: Results) -> Iterator[Bar]:
    if results.memory:
        worst = median(max(part.mib for part in one.values()) for one in results.memory)
        for level, bar in zip(("first", "aim"), MEMORY_MIB, strict=True):
            yield _at_most("idle memory", level, worst, bar, "MiB")


def _dashboard(results: Results) -> Iterator[Bar]:
    for one in results.dashboard:
        for name in (dashboard.ANSWERS, dashboard.FIRST_ANSWERS):
            yield _at_most(f"{name}, p99", "first", one.times[name].p99_ms, INTERACTIVE_MS, "ms")
        for name in (dashboard.DOWN, dashboard.UP):
            yield _at_most(f"{name}, p50", "first", one.times[name].p50_ms, dashboard.FRAME_MS, "ms")
            own = dashboard.OWN.format(name)
            for level, bar in OWN_MS.items():
                yield _at_most(f"{own}, p99", level, one.times[own].p99_ms, bar, "ms")


def _listing(results: Results) -> Iterator[Bar]:
    if results.listing:
        worst = median(max(part.p99_ms for part in one.values()) for one in results.listing)
        for level, bar in zip(("first", "aim"), LISTING_MS, strict=True):
            yield _at_most("reading, slowest p99", level, worst, bar, "ms")


def _storage(results: Results) -> Iterator[Bar]:
    for one in results.storage:
        few, many, pruned = (
            drain.per_second for drain in (one.beside_few, one.beside_many, one.while_pruned)
        )
        for level, times in STORED_TIMES.items():
            bar = _at_most(
                f"a job beside {one.many:,} stored ones", level, few / many, times, "times as long"
            )
            yield msgspec.structs.replace(bar, wanted=f"<= {times}")
        for level, part in PRUNED_PART.items():
            bar = _at_least("drain while jobs are pruned", level, pruned / many, part, "")
            yield msgspec.structs.replace(bar, wanted=f">= {part}", unit="of that without")


def _schedules(results: Results) -> Iterator[Bar]:
    if results.schedules:
        wrong = sum(one.missing + one.surplus for one in results.schedules)
        yield Bar(
            figure="ticks missing or fired twice",
            level="first",
            wanted="0",
            measured=wrong,
            unit="ticks",
            ratio=float(wrong == 0),
            met=wrong == 0,
        )
        late = median(one.lateness.p99_ms for one in results.schedules)
        yield _at_most("tick lateness, p99", "first", late, TICK_LATENESS_MS, "ms")
        idle = median(one.idle_cores for one in results.schedules)
        yield _at_most("idle scheduler", "first", idle, IDLE_CORES, "cores")


def _webhooks(results: Results) -> Iterator[Bar]:
    for one in results.webhooks:
        rate = _at_least("webhook deliveries", "first", one.per_second, WEBHOOKS_PER_SECOND, "/s")
        yield msgspec.structs.replace(rate, unit="deliveries/s")
        yield _at_most("webhook lateness, p99", "first", one.lateness.p99_ms, WEBHOOK_LATENESS_MS, "ms")


def _agents(results: Results) -> Iterator[Bar]:
    for one in results.agents:
        all_ms, copy_ms = 1000 * one.one_to_all_seconds, 1000 * one.copy_seconds
        figure = f"one event to {one.agents:,} agents"
        yield _at_most(figure, "first", all_ms, COPY_FACTOR * copy_ms, "ms")
        rate = _at_least("events to ten agents each", "first", one.per_second, EVENTS_PER_SECOND, "/s")
        yield msgspec.structs.replace(rate, unit="events/s")
        yield _at_most("execution lateness, p99", "first", one.lateness.p99_ms, EXECUTION_LATENESS_MS, "ms")


def _ingress(results: Results) -> Iterator[Bar]:
    for one in results.ingress:
        rate = _at_least("webhooks that come in", "first", one.per_second, INGRESS_PER_SECOND, "/s")
        yield msgspec.structs.replace(rate, unit="deliveries/s")
        yield _at_most("their answer, p99", "first", one.answer.p99_ms, INGRESS_MS, "ms")


def _streams(results: Results) -> Iterator[Bar]:
    for one in results.streams:
        usual, now = one[streams.NONE].p50_ms, one[streams.OPEN].p50_ms
        yield _at_most("beside 200 streams, p50", "first", now, STREAMS_FACTOR * usual, "ms")


def _neighbours(results: Results) -> Iterator[Bar]:
    for one in results.neighbours:
        alone = one[ALONE]
        for name in MISUSE:
            for figure in ("p50", "p99"):
                usual, now = (getattr(latency, f"{figure}_ms") for latency in (alone, one[name]))
                yield _at_most(f"beside misuse of {name}, {figure}", "first", now, DOUBLE * usual, "ms")


def _isolation(results: Results) -> Iterator[Bar]:
    figures = (
        ("dead receivers", results.receivers),
        ("silent names", results.names),
        ("costly templates", results.templates),
    )
    for what, measured in figures:
        for one in measured:
            bar = DOUBLE * one[ALONE].p99_ms
            yield _at_most(f"beside {what} of others, p99", "first", one[BESIDE].p99_ms, bar, "ms")


def _fairness(results: Results) -> Iterator[Bar]:
    for one in results.fairness:
        usual, now = one[fairness.ALONE].p99_ms, one[fairness.BESIDE].p99_ms
        yield _at_most("short jobs beside long ones, p99", "first", now, DOUBLE * usual, "ms")
        yield _at_most("short jobs beside long ones, p99", "first", now, QUIET_WAIT_MS, "ms")


def _claimers(results: Results) -> Iterator[Bar]:
    for one in (one for row in results.claimers for one in row):
        if one.executors in OF_IDEAL:
            wanted = OF_IDEAL[one.executors]
            yield Bar(
                figure=f"{one.executors} executors that claim",
                level="first",
                wanted=f">= {wanted}",
                measured=one.of_ideal,
                unit="of the ideal",
                ratio=one.of_ideal / wanted,
                met=one.of_ideal >= wanted,
            )


def _masking(results: Results) -> Iterator[Bar]:
    for one in results.masking:
        for level, bar in zip(("first", "aim"), LIVEZ_MS, strict=True):
            yield _at_most("/livez beside masking, p99", level, one.beside.p99_ms, bar, "ms")
        kept = one.other == "completed"
        yield Bar(
            figure="another tenant's job beside masking",
            level="first",
            wanted="completed",
            measured=float(kept),
            unit="jobs",
            ratio=float(kept),
            met=kept,
        )
        rate = _at_least("masked text", "first", one.megabytes_per_second, MASKED_PER_SECOND, "")
        yield msgspec.structs.replace(rate, unit="MB/s")


def _bulk(results: Results) -> Iterator[Bar]:
    for one in results.bulk:
        usual = one.waits[ALONE].p99_ms
        for name, beside in one.waits.items():
            if name != ALONE:
                figure = f"{name} of {one.jobs:,} jobs of another tenant, p99"
                yield _at_most(figure, "first", beside.p99_ms, DOUBLE * usual, "ms")


def _commands(results: Results) -> Iterator[Bar]:
    """Commands as multiples of a bare start of the interpreter, since processors differ."""
    for one in results.cli:
        bare = one.milliseconds[BARE]
        for name, bar in COMMAND_MS.items():
            wanted, measured = bar / BARE_MS["python"], one.milliseconds[name] / bare
            yield _at_most(name, "first", measured, wanted, f"times {BARE}")
        yield _at_most(
            f"cancel {one.cancelled} queued jobs", "first", one.cancel_seconds, CANCEL_SECONDS, "s"
        )


def _peer(systems: Mapping[str, list[Throughput]], name: str, usual: float) -> tuple[float, str]:
    if name in systems:
        return middle(systems[name]), f" ({name})"
    return usual, f" ({name}, of another run)"


def _at_least(figure: str, level: str, measured: float, bar: float, note: str) -> Bar:
    return Bar(
        figure=figure,
        level=level,
        wanted=f">= {bar:,.0f}{note}",
        measured=measured,
        unit="jobs/s",
        ratio=measured / bar,
        met=measured >= bar,
    )


def _at_most(figure: str, level: str, measured: float, bar: float, unit: str) -> Bar:
    return Bar(
        figure=figure,
        level=level,
        wanted=f"<= {bar:,.1f}",
        measured=measured,
        unit=unit,
        ratio=bar / measured,
        met=measured <= bar,
    )
