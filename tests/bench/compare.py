"""`python -m tests.bench --compare REV`: this tree and another commit, side by side in one run.

Both servers run at the same time, and requests go to them in turns, so whatever else the machine does falls on
both alike. Processor time is that of a server's whole tree of processes, by their names.
"""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import psutil

from tests.bench.latency import check_completed
from tests.bench.memory import read_memory
from tests.bench.process import ROOT, ChildError, temporary_folder
from tests.bench.result import Latency
from tests.bench.server import Server, command_path, make_worker, run_jobs, serving

HERE: Final = "this tree"
TURN: Final = 30
WARM_JOBS: Final = 200
SETTLE_SECONDS: Final = 3.0


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one commit. `cpu_us` is per request, by process name; `mib` is memory afterwards."""

    latency: Latency
    cpu_us: dict[str, float]
    mib: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two commits measured in one run."""

    revision: str
    sides: dict[str, Side]


async def compare(revision: str, requests: int) -> Comparison:
    """Measure this tree and the commit that `revision` names."""
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
    with temporary_folder() as folder, _installed(commit, folder / "other") as program:
        async with contextlib.AsyncExitStack() as stack:
            servers: dict[str, Server] = {}
            for name, command in ((HERE, command_path()), (revision, program)):
                place = folder / f"data-{len(servers)}"
                place.mkdir(mode=0o711)
                servers[name] = await stack.enter_async_context(serving(place, program=[str(command)]))
            sides = await asyncio.to_thread(_measure, servers, requests)
    return Comparison(revision=f"{revision} ({commit[:10]})", sides=sides)


def lines_of(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of the table that a person reads."""
    here, there = comparison.sides.values()
    yield f"`POST /jobs?wait`, this tree and {comparison.revision} in turns, {here.latency.count:,} requests each"
    yield ""
    rows = [
        (f"{name} ms", getattr(here.latency, f"{name}_ms"), getattr(there.latency, f"{name}_ms"))
        for name in ("p50", "p99")
    ]
    rows += [("cpu us a request", sum(here.cpu_us.values()), sum(there.cpu_us.values()))]
    for name in sorted({*here.cpu_us, *there.cpu_us}):
        rows.append((f"  {name}", here.cpu_us.get(name, 0.0), there.cpu_us.get(name, 0.0)))
    rows.append(("memory MiB", here.mib, there.mib))
    yield f"| {'figure':<24} | {'this tree':>10} | {'other':>10} | ratio |"
    yield f"|{'-' * 26}|{'-' * 12}|{'-' * 12}|-------|"
    for name, ours, theirs in rows:
        ratio = f"{ours / theirs:5.2f}" if theirs else "     "
        yield f"| {name:<24} | {ours:>10,.1f} | {theirs:>10,.1f} | {ratio} |"


def _measure(servers: dict[str, Server], requests: int) -> dict[str, Side]:
    with contextlib.ExitStack() as stack:
        connections = {name: stack.enter_context(server.connect()) for name, server in servers.items()}
        asked, seconds = {}, {name: list[float]() for name in servers}
        for name, connection in connections.items():
            worker = make_worker(connection)
            run_jobs(connection, worker, WARM_JOBS)
            body = {"worker_id": worker, "input": {"n": 1}}
            asked[name] = connection.address.render("POST", "/v1/ava/jobs?wait=10", body)
        time.sleep(SETTLE_SECONDS)
        before = {name: _processor_seconds(server) for name, server in servers.items()}
        for turn in range(max(1, requests // TURN)):
            for name in sorted(servers, reverse=turn % 2 == 1):
                for _ in range(TURN):
                    began = time.perf_counter()
                    answer = connections[name].exchange(asked[name])
                    seconds[name].append(time.perf_counter() - began)
                    check_completed(*answer)
        return {name: _side(server, seconds[name], before[name]) for name, server in servers.items()}


def _side(server: Server, seconds: list[float], before: dict[str, float]) -> Side:
    used = {
        name: 1e6 * (total - before.get(name, 0.0)) / len(seconds)
        for name, total in _processor_seconds(server).items()
    }
    return Side(
        latency=Latency.of(seconds),
        cpu_us={name: microseconds for name, microseconds in used.items() if microseconds >= 1},
        mib=read_memory(server.pid).mib,
    )


def _processor_seconds(server: Server) -> dict[str, float]:
    """Return the processor time so far of a server and its processes, by name."""
    total: dict[str, float] = {}
    leader = psutil.Process(server.pid)
    for process in (leader, *leader.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times, name = process.cpu_times(), "server" if process.pid == server.pid else process.name()
            total[name] = total.get(name, 0.0) + times.user + times.system
    return total


@contextlib.contextmanager
def _installed(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out with an environment of its own, and give its command."""
    _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        done = subprocess.run(["scripts/setup"], cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            raise ChildError(f"the other commit could not be installed:\n{done.stderr[-1000:]}")
        yield folder / ".venv" / "bin" / "runwright"
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise ChildError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
