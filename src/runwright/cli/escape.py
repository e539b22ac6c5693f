"""`runwright doctor --escape-test`: known attempts to escape from a sandbox, made on this host."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runwright.core.errors import RunwrightError
from runwright.escape_test.canaries import plant_canaries
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import EscapeResult, EscapeVerdict
from runwright.escape_test.runner import run_attempts
from runwright.runtimes.host import Host, Isolation
from runwright.workers.model import RuntimeName

MIN_ATTEMPTS: Final = 60
"""A run with fewer attempts does not pass."""
_WIDTH: Final = 150
"""Width of the table where the output is not a terminal."""
_STRICT: Final = ("system call filter", "memory limits by")
_STYLES: Final = {
    EscapeVerdict.STOPPED: "green",
    EscapeVerdict.ESCAPED: "bold red",
    EscapeVerdict.BROKEN: "bold yellow",
}


class EscapeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `--json`."""

    level: str
    reached: tuple[str, ...]
    passed: bool
    seconds: float
    counts: dict[str, int]
    attempts: list[EscapeResult]


class EscapeTestError(RunwrightError):
    """The test cannot be made on this host at the requested level."""


def run_escape_test(host: Host, *, level: str | None, data_dir: Path, as_json: bool) -> bool:
    """Make every attempt, print the results, and return whether all were stopped."""
    host = at_level(host, level)
    began = time.monotonic()
    console = Console(stderr=True)
    with console.status("planting canaries") as status:
        results = _run(host, data_dir, lambda name: status.update(f"tried {name}"))
    report = make_report(host, results, time.monotonic() - began)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)
    return report.passed


def at_level(host: Host, level: str | None) -> Host:
    """Return the host without what only a higher level has."""
    chosen = host.isolation if level is None else Isolation[level.upper()]
    if host.isolation < chosen or chosen is Isolation.PROCESS or RuntimeName.PYTHON not in host.interpreters:
        why = (
            "; ".join(f"{one.what}: {one.why}" for one in host.missing) or "there is no python for sandboxes"
        )
        raise EscapeTestError(f"This host has no sandboxes of level '{chosen.wire_name}' to test. {why}")
    if chosen is host.isolation:
        return host
    reached = (*(one for one in host.reached if not one.startswith(_STRICT)), "memory limits by a watchdog")
    return msgspec.structs.replace(host, isolation=chosen, seccomp=False, cgroup_version=0, reached=reached)


def make_report(host: Host, results: Sequence[EscapeResult], seconds: float) -> EscapeReport:
    """Summarize the results."""
    counts = {verdict.value: sum(one.verdict is verdict for one in results) for verdict in EscapeVerdict}
    return EscapeReport(
        level=host.isolation.wire_name,
        reached=host.reached,
        passed=len(results) >= MIN_ATTEMPTS and counts[EscapeVerdict.STOPPED.value] == len(results),
        seconds=round(seconds, 1),
        counts=counts,
        attempts=list(results),
    )


def _run(host: Host, data_dir: Path, tried: Callable[[str], None]) -> list[EscapeResult]:
    visible = [mount for one in host.interpreters.values() for mount in one.mounts]
    real = data_dir if data_dir.is_dir() else None
    with plant_canaries(data_dir=real, visible=visible) as canaries:
        return asyncio.run(run_attempts(host, canaries, find_attempts(), lambda one: tried(one.name)))


def _print(report: EscapeReport) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(title=f"Escape test at level '{report.level}'", title_justify="left", expand=True)
    for header, ratio in (("name", 4), ("tries", 6), ("result", 1), ("stopped by", 5)):
        table.add_column(header, ratio=ratio, min_width=8, overflow="fold")
    for one in report.attempts:
        result = Text(one.verdict.value, style=_STYLES[one.verdict])
        table.add_row(Text(one.name), Text(one.tries), result, Text(_plain(one.by)))
    console.print(table)
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    verdict = "passed" if report.passed else "FAILED"
    console.print(
        Text(f"{verdict}: {len(report.attempts)} attempts, {counts}, in {report.seconds:g} seconds")
    )


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
