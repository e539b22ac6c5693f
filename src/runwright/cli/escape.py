"""`runwright doctor --escape-test`: tries the known ways out of a sandbox and says what stopped each."""

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
from runwright.escape_test.canaries import lay_baits
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import Result, Verdict
from runwright.escape_test.runner import run_attempts
from runwright.runtimes.host import Host, Isolation

FEWEST: Final = 60
"""A run with fewer attempts proves nothing."""
_WIDTH: Final = 150
"""Of the table where there is no terminal to fit it to."""
_STRICT: Final = ("system call filter", "memory limits by")
_STYLES: Final = {Verdict.STOPPED: "green", Verdict.ESCAPED: "bold red", Verdict.BROKEN: "bold yellow"}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    level: str
    reached: tuple[str, ...]
    passed: bool
    seconds: float
    counts: dict[str, int]
    attempts: list[Result]


class EscapeTestError(RunwrightError):
    """The test cannot be made here as it was asked for."""


def run_escape_test(host: Host, *, level: str | None, data_dir: Path, as_json: bool) -> bool:
    """Make every attempt, print what became of each, and tell whether all were stopped."""
    host = at_level(host, level)
    began = time.monotonic()
    console = Console(stderr=True)
    with console.status("laying out baits") as status:
        results = _run(host, data_dir, lambda name: status.update(f"tried {name}"))
    report = make_report(host, results, time.monotonic() - began)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)
    return report.passed


def at_level(host: Host, level: str | None) -> Host:
    """Return the host with what only a higher level has switched off."""
    wanted = host.isolation if level is None else Isolation[level.upper()]
    if host.isolation < wanted or wanted is Isolation.PROCESS or "python" not in host.interpreters:
        why = (
            "; ".join(f"{one.what}: {one.why}" for one in host.missing) or "there is no python for sandboxes"
        )
        raise EscapeTestError(f"This host has no sandboxes of level '{wanted.wire_name}' to test. {why}")
    if wanted is host.isolation:
        return host
    reached = (*(one for one in host.reached if not one.startswith(_STRICT)), "memory limits by a watchdog")
    return msgspec.structs.replace(host, isolation=wanted, seccomp=False, cgroup_version=0, reached=reached)


def make_report(host: Host, results: Sequence[Result], seconds: float) -> Report:
    """Sum the results up."""
    counts = {verdict.value: sum(one.verdict is verdict for one in results) for verdict in Verdict}
    return Report(
        level=host.isolation.wire_name,
        reached=host.reached,
        passed=len(results) >= FEWEST and counts[Verdict.STOPPED.value] == len(results),
        seconds=round(seconds, 1),
        counts=counts,
        attempts=list(results),
    )


def _run(host: Host, data_dir: Path, tried: Callable[[str], None]) -> list[Result]:
    visible = [mount for one in host.interpreters.values() for mount in one.mounts]
    real = data_dir if data_dir.is_dir() else None
    with lay_baits(data_dir=real, visible=visible) as baits:
        return asyncio.run(run_attempts(host, baits, find_attempts(), lambda one: tried(one.name)))


def _print(report: Report) -> None:
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
