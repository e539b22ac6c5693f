"""Writes a run down: `bench.json` with everything, `bench.md` with what a person wants to see."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from tests.bench.bars import Bar, bars_of, middle
from tests.bench.result import Latency, Throughput
from tests.bench.results import OURS, Results
from tests.bench.storage import drains_of


class Report(msgspec.Struct, frozen=True):
    """The content of `bench.json`."""

    results: Results
    bars: list[Bar]


def write_report(results: Results, folder: Path) -> str:
    """Write both files and return the readable one."""
    folder.mkdir(parents=True, exist_ok=True)
    bars = bars_of(results)
    encoded = msgspec.json.format(msgspec.json.encode(Report(results, bars)), indent=2)
    (folder / "bench.json").write_bytes(encoded + b"\n")
    text = "\n".join(_lines(results, bars)) + "\n"
    (folder / "bench.md").write_text(text)
    return text


def _lines(results: Results, bars: Sequence[Bar]) -> Iterator[str]:
    machine = results.machine
    yield f"# Bench, {machine.measured_at}"
    yield ""
    yield f"{machine.cores} cores ({machine.processor}), {machine.memory_gib} GiB, {machine.system}, "
    busy = results.busy_before.values()
    yield f"Python {machine.python}. Medians of the rounds. Just before the measurements the machine was "
    yield f"{median(busy or [0]):.0f} % busy with other things, {max(busy, default=0):.0f} % at most."
    yield from _bar_table(bars)
    yield from _throughput_table("Single submit, overlapping with execution", results.submit)
    yield from _throughput_table("Drain of a backlog", results.drain)
    for number, wait in enumerate(results.wait):
        yield from _latency_table(f"Trigger to result, round {number + 1}", wait)
    for cold in results.cold:
        yield from _latency_table("First job of a new worker", cold)
    for listing in results.listing:
        yield from _latency_table("Reading", listing)
    yield from _storage_tables(results)
    for dashboard in results.dashboard:
        yield from _latency_table("The dashboard, 100,000 jobs stored", dashboard.times)
        late = [(name, f"{percent:.1f}") for name, percent in dashboard.late_percent.items()]
        yield from _table("Frames that came late", ("scroll", "%"), late)
    for ticks in results.schedules:
        what = f"{ticks.schedules:,} schedules at one instant, {ticks.minutes} minutes"
        yield from _latency_table("Lateness of ticks", {what: ticks.lateness})
    for hooks in results.webhooks:
        what = f"{hooks.events:,} events, {hooks.per_second:,.0f}/s, beside a slow and a dead receiver"
        yield from _latency_table("Lateness of webhooks", {what: hooks.lateness})
    for one in results.agents:
        what = f"{one.events:,} events to 10 agents, {one.per_second:,.0f} events/s, until pending"
        yield from _latency_table("Lateness of executions", {what: one.lateness})
    for ingress in results.ingress:
        what = (
            f"{ingress.deliveries:,} signed webhooks, {ingress.per_second:,.0f}/s, stored before the answer"
        )
        yield from _latency_table("Webhooks that come in", {what: ingress.answer})
    for neighbours in results.neighbours:
        yield from _latency_table("A worker whose neighbour misuses the machine", neighbours)
    yield from _isolation_tables(results)

    yield from _shared_lines(results)
    yield from _memory_table(results)
    yield from _notes(results)


def _storage_tables(results: Results) -> Iterator[str]:
    for storage in results.storage:
        rows = [
            (what, f"{one.per_second:,.0f}", f"{one.cpu_us_per_job:,.0f}", f"{one.others_percent:.0f}")
            for what, one in drains_of(storage).items()
        ]
        title = f"Drains of {storage.beside_few.jobs:,} jobs; the others were stored in {storage.load_seconds:,.0f} s"
        yield from _table(title, ("drain", "jobs/s", "cpu us/job", "others %"), rows)


def _isolation_tables(results: Results) -> Iterator[str]:
    for title, measured in (
        ("Deliveries beside dead receivers of others", results.receivers),
        ("Deliveries beside silent names of others", results.names),
        ("Jobs beside costly templates of others", results.templates),
    ):
        for latencies in measured:
            yield from _latency_table(title, latencies)


def _shared_lines(results: Results) -> Iterator[str]:
    for streams in results.streams:
        yield from _latency_table("Trigger to result beside open streams of events", streams)
    for fairness in results.fairness:
        yield from _latency_table("Short jobs of 20 tenants beside another one's long jobs", fairness)
    for claimers in results.claimers:
        rows = [
            (str(one.executors), str(one.jobs), f"{one.seconds:.2f}", f"{one.of_ideal:.3f}")
            for one in claimers
        ]
        yield from _table("Executors that claim", ("executors", "jobs of 1 s", "seconds", "of ideal"), rows)
    for bulk in results.bulk:
        took = ", ".join(f"{action} {seconds:.0f} s" for action, seconds in bulk.seconds.items())
        yield from _latency_table(
            f"Jobs beside a bulk operation on {bulk.jobs:,} of another: {took}", bulk.waits
        )
    for commands in results.cli:
        times = [(name, f"{milliseconds:.0f}") for name, milliseconds in commands.milliseconds.items()]
        times.append((f"cancel {commands.cancelled} jobs", f"{1000 * commands.cancel_seconds:.0f}"))
        yield from _table("Commands", ("command", "p50 ms"), times)
    for masking in results.masking:
        title = f"/livez while secrets are masked, {masking.megabytes_per_second:.1f} MB/s"
        yield from _latency_table(title, {"alone": masking.alone, "beside": masking.beside})


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    filled = [heads, *rows]
    if len(filled) == 1:
        return
    widths = [max(len(row[column]) for row in filled) for column in range(len(heads))]
    yield from ("", f"## {title}", "")
    for number, row in enumerate(filled):
        cells = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"


def _bar_table(bars: Sequence[Bar]) -> Iterator[str]:
    rows = (
        (
            bar.figure,
            f"{bar.measured:,.1f} {bar.unit}",
            bar.level,
            bar.wanted,
            _times(bar.ratio),
            "yes" if bar.met else "no",
        )
        for bar in bars
    )
    yield from _table("Bars", ("figure", "measured", "bar", "wanted", "ratio", "met"), rows)


def _throughput_table(title: str, systems: Mapping[str, list[Throughput]]) -> Iterator[str]:
    ours = middle(systems[OURS]) if OURS in systems else None
    rows = (
        (
            name,
            f"{middle(rounds):,.0f}",
            " ".join(f"{one.per_second:,.0f}" for one in rounds),
            f"{median(one.cpu_us_per_job for one in rounds):,.0f}",
            " ".join(f"{one.others_percent:.0f}" for one in rounds),
            _middle_of([one.accepted_per_second for one in rounds]),
            _middle_of([one.answer_p50_ms for one in rounds]),
            _middle_of([one.answer_p99_ms for one in rounds]),
            "" if ours is None else _times(ours / middle(rounds)),
        )
        for name, rounds in sorted(systems.items(), key=lambda item: -middle(item[1]))
    )
    heads = "system, jobs/s, rounds, cpu us/job, others %, accepted/s, answer p50 ms, p99 ms, ratio"
    yield from _table(title, heads.split(", "), rows)
    if systems:
        yield ""
        yield "Ratio: ours over theirs. Others: what else the machine did meanwhile, in each round."


def _latency_table(title: str, latencies: Mapping[str, Latency]) -> Iterator[str]:
    rows = (
        (name, f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}", f"{one.max_ms:.2f}", str(one.count))
        for name, one in latencies.items()
    )
    yield from _table(title, ("what", "p50 ms", "p99 ms", "max ms", "count"), rows)


def _memory_table(results: Results) -> Iterator[str]:
    rows = [
        (
            when,
            f"{memory.mib:.1f}",
            str(memory.processes),
            ", ".join(f"{name} {mib:.1f}" for name, mib in sorted(memory.parts.items(), key=lambda p: -p[1])),
        )
        for one in results.memory
        for when, memory in one.items()
    ]
    yield from _table("Idle memory", ("when", "PSS MiB", "processes", "parts"), rows)


def _notes(results: Results) -> Iterator[str]:
    for title, notes in (
        ("Measured", {name: f"{one.version}; {one.settings}" for name, one in results.subjects.items()}),
        ("Skipped", results.skipped),
        ("Failed", results.failed),
    ):
        if notes:
            yield from ("", f"## {title}", "")
            yield from (f"- {name}: {note}" for name, note in notes.items())


def _middle_of(values: Sequence[float | None]) -> str:
    present = sorted(value for value in values if value is not None)
    if not present:
        return ""
    value = present[len(present) // 2]
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x"
