"""Runs the measurements in turn, each on fresh servers; one that fails does not stop the rest.

Systems alternate within a round, so that whatever else the machine does falls on all of them.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import psutil

from runwright import __version__
from tests.bench.agents import measure_agents
from tests.bench.bulk import measure_bulk
from tests.bench.claimers import measure_claimers
from tests.bench.cold import measure_cold
from tests.bench.commands import measure_commands
from tests.bench.dashboard import measure_dashboard
from tests.bench.drain import measure_drain
from tests.bench.fairness import measure_fairness
from tests.bench.ingress import measure_ingress
from tests.bench.isolation import measure_names, measure_receivers, measure_templates
from tests.bench.latency import HUEY, measure_wait
from tests.bench.listing import measure_listing
from tests.bench.masking import measure_masking
from tests.bench.memory import measure_memory
from tests.bench.neighbours import measure_neighbours
from tests.bench.peers import huey_latency
from tests.bench.peers import measure as peer_measure
from tests.bench.peers.celery_peer import CeleryPeer
from tests.bench.peers.dbos_peer import DbosPeer
from tests.bench.peers.dramatiq_peer import DramatiqPeer
from tests.bench.peers.peer import Peer
from tests.bench.peers.pgqueuer_peer import PgQueuerPeer
from tests.bench.peers.procrastinate_peer import ProcrastinatePeer
from tests.bench.process import temporary_folder
from tests.bench.result import Throughput
from tests.bench.results import OURS, Results, Subject, describe_machine
from tests.bench.schedules import measure_schedules
from tests.bench.server import server_missing
from tests.bench.streams import measure_streams
from tests.bench.submit import measure_submit
from tests.bench.webhooks import measure_webhooks

T = TypeVar("T")

PEERS: Final[dict[str, Peer]] = {
    peer.name: peer
    for peer in (DramatiqPeer(), CeleryPeer(), ProcrastinatePeer(), DbosPeer(), PgQueuerPeer())
}
FIGURES: Final = (
    "submit",
    "drain",
    "wait",
    "cold",
    "memory",
    "listing",
    "dashboard",
    "schedules",
    "webhooks",
    "agents",
    "ingress",
    "neighbours",
    "streams",
    "receivers",
    "names",
    "templates",
    "fairness",
    "claimers",
    "masking",
    "bulk",
    "cli",
)
ISOLATION: Final = {
    "receivers": measure_receivers,
    "names": measure_names,
    "templates": measure_templates,
}
QUIET_PERCENT: Final = 15.0
QUIET_WAIT_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 1.0
OUR_SETTINGS: Final = (
    "runwright serve with its defaults: embedded PostgreSQL, fsync and synchronous_commit on, sandboxed"
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure, and how much of it."""

    rounds: int
    jobs: int
    wait_requests: int
    beside_requests: int
    cold_workers: int
    stored_jobs: int
    read_requests: int
    schedules: int
    webhook_seconds: int
    agents: int
    schedule_minutes: int
    fairness_requests: int
    bulk_jobs: int
    figures: list[str] = []
    systems: list[str] = []

    def narrowed(
        self, *, figures: list[str], systems: list[str], jobs: int | None, rounds: int | None
    ) -> "Plan":
        """Return the same plan for some figures and systems, and perhaps other numbers."""
        return msgspec.structs.replace(
            self, figures=figures, systems=systems, jobs=jobs or self.jobs, rounds=rounds or self.rounds
        )


async def run_plan(plan: Plan) -> Results:
    """Measure what the plan says."""
    results = Results(machine=describe_machine())
    systems = _present(plan, results)
    for number in range(plan.rounds):
        for figure in ("submit", "drain"):
            if figure in plan.figures:
                await _throughputs(results, figure, systems, plan.jobs, number)
        if "wait" in plan.figures and OURS in systems:
            wait = await _attempt(results, "wait", lambda f: measure_wait(f, plan.wait_requests))
            results.wait += [wait] if wait else []
            if wait and HUEY in wait:
                results.subjects[HUEY] = Subject(version(huey_latency.PACKAGE), huey_latency.DESCRIPTION)
    if OURS in systems:
        await _single_figures(plan, results)
        await _shared_figures(plan, results)
    return results


def _present(plan: Plan, results: Results) -> list[str]:
    """Return the systems that can run here; note how those are set and why the others cannot."""
    present = []
    for name in plan.systems:
        missing = server_missing() if name == OURS else PEERS[name].missing()
        if missing:
            results.skipped[name] = missing
            continue
        present.append(name)
        if name == OURS:
            results.subjects[name] = Subject(__version__, OUR_SETTINGS)
        else:
            results.subjects[name] = Subject(version(PEERS[name].package), PEERS[name].settings)
    return present


async def _throughputs(results: Results, figure: str, systems: list[str], jobs: int, number: int) -> None:
    table = results.submit if figure == "submit" else results.drain
    for name in systems:
        label = f"{figure}, {name}, round {number + 1}"
        measured = await _attempt(results, label, _throughput(figure, name, jobs))
        if measured is not None:
            _say(f"  {measured.per_second:,.0f} jobs/s")
            table.setdefault(name, []).append(measured)


def _throughput(figure: str, name: str, jobs: int) -> Callable[[Path], Awaitable[Throughput]]:
    if name == OURS:
        ours = measure_submit if figure == "submit" else measure_drain
        return lambda folder: ours(folder, jobs)
    theirs = peer_measure.measure_submit if figure == "submit" else peer_measure.measure_drain

    async def measure(folder: Path) -> Throughput:
        async with PEERS[name].open(folder) as bed:
            return await theirs(bed, jobs)

    return measure


async def _single_figures(plan: Plan, results: Results) -> None:
    if "cold" in plan.figures:
        cold = await _attempt(results, "cold", lambda f: measure_cold(f, plan.cold_workers))
        results.cold += [cold] if cold else []
    if "memory" in plan.figures:
        memory = await _attempt(results, "memory", measure_memory)
        results.memory += [memory] if memory else []
    if "neighbours" in plan.figures:
        requests = plan.wait_requests
        neighbours = await _attempt(results, "neighbours", lambda f: measure_neighbours(f, requests))
        results.neighbours += [neighbours] if neighbours else []
    if "streams" in plan.figures:
        requests = plan.wait_requests
        streams = await _attempt(results, "streams", lambda f: measure_streams(f, requests))
        results.streams += [streams] if streams else []
    await _isolation_figures(plan, results)
    if "listing" in plan.figures:
        reads = (plan.stored_jobs, plan.read_requests)
        listing = await _attempt(results, "listing", lambda f: measure_listing(f, *reads))
        results.listing += [listing] if listing else []
    if "schedules" in plan.figures:
        clocks = (plan.schedules, plan.schedule_minutes)
        ticks = await _attempt(results, "schedules", lambda f: measure_schedules(f, *clocks))
        results.schedules += [ticks] if ticks else []
    if "webhooks" in plan.figures:
        seconds = plan.webhook_seconds
        webhooks = await _attempt(results, "webhooks", lambda f: measure_webhooks(f, seconds))
        results.webhooks += [webhooks] if webhooks else []
    if "agents" in plan.figures:
        crowd = (plan.agents, plan.webhook_seconds)
        agents = await _attempt(results, "agents", lambda f: measure_agents(f, *crowd))
        results.agents += [agents] if agents else []
    if "ingress" in plan.figures:
        seconds = plan.webhook_seconds
        ingress = await _attempt(results, "ingress", lambda f: measure_ingress(f, seconds))
        results.ingress += [ingress] if ingress else []


async def _isolation_figures(plan: Plan, results: Results) -> None:
    for figure, measure in ISOLATION.items():
        if figure in plan.figures:
            beside = await _attempt(results, figure, partial(measure, requests=plan.beside_requests))
            getattr(results, figure).extend([beside] if beside else [])


async def _shared_figures(plan: Plan, results: Results) -> None:
    if "fairness" in plan.figures:
        requests = plan.fairness_requests
        fairness = await _attempt(results, "fairness", lambda f: measure_fairness(f, requests))
        results.fairness += [fairness] if fairness else []
    if "claimers" in plan.figures:
        claimers = await _attempt(results, "claimers", measure_claimers)
        results.claimers += [claimers] if claimers else []
    if "bulk" in plan.figures:
        sizes = (plan.bulk_jobs, plan.wait_requests)
        bulk = await _attempt(results, "bulk", lambda f: measure_bulk(f, *sizes))
        results.bulk += [bulk] if bulk else []
    if "dashboard" in plan.figures:
        dashboard = await _attempt(results, "dashboard", measure_dashboard)
        results.dashboard += [dashboard] if dashboard else []
    if "cli" in plan.figures:
        commands = await _attempt(results, "cli", measure_commands)
        results.cli += [commands] if commands else []
    if "masking" in plan.figures:
        masking = await _attempt(results, "masking", measure_masking)
        results.masking += [masking] if masking else []


async def _attempt(results: Results, label: str, measure: Callable[[Path], Awaitable[T]]) -> T | None:
    """Measure in a fresh folder; note what went wrong and go on."""
    busy = results.busy_before[label] = _wait_for_quiet()
    _say(f"{label} (machine {busy:.0f} % busy before)")
    with temporary_folder() as folder:
        try:
            return await measure(folder)
        except Exception as error:  # noqa: BLE001  whatever it was, it is reported
            results.failed[label] = f"{type(error).__name__}: {error}"
            _say(f"  failed: {results.failed[label]}")
            return None


def _wait_for_quiet() -> float:
    """Wait a little for others to leave the machine; return how many per cent of it they use."""
    deadline = time.monotonic() + QUIET_WAIT_SECONDS
    while (busy := psutil.cpu_percent(interval=LOOK_SECONDS)) > QUIET_PERCENT and time.monotonic() < deadline:
        pass
    return busy


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
