"""Runs the measurements in turn, each on fresh servers; one that fails does not stop the rest.

Systems alternate within a round, so that whatever else the machine does falls on all of them.
"""

import sys
import time
from collections.abc import Awaitable, Callable, Mapping
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
from tests.bench.storage import measure_storage
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
    "storage",
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
COUNTED: Final = 10_000
"""Counts of lists are exact up to here."""

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
        self,
        *,
        figures: list[str],
        systems: list[str],
        jobs: int | None,
        rounds: int | None,
        stored_jobs: int | None,
    ) -> "Plan":
        """Return the same plan for some figures and systems, and perhaps other numbers."""
        return msgspec.structs.replace(
            self,
            figures=figures,
            systems=systems,
            jobs=jobs or self.jobs,
            rounds=rounds or self.rounds,
            stored_jobs=stored_jobs or self.stored_jobs,
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
    measures: dict[str, Callable[[Path], Awaitable[object]]] = {
        "cold": partial(measure_cold, workers=plan.cold_workers),
        "memory": measure_memory,
        "neighbours": partial(measure_neighbours, requests=plan.wait_requests),
        "streams": partial(measure_streams, requests=plan.wait_requests),
    }
    await _each(plan, results, measures)
    await _isolation_figures(plan, results)
    seconds = plan.webhook_seconds
    measures = {
        "listing": partial(measure_listing, jobs=plan.stored_jobs, requests=plan.read_requests),
        "storage": partial(measure_storage, stored=plan.stored_jobs, jobs=min(plan.jobs, COUNTED)),
        "schedules": partial(measure_schedules, schedules=plan.schedules, minutes=plan.schedule_minutes),
        "webhooks": partial(measure_webhooks, seconds=seconds),
        "agents": partial(measure_agents, agents=plan.agents, seconds=seconds),
        "ingress": partial(measure_ingress, seconds=seconds),
    }
    await _each(plan, results, measures)


async def _each(
    plan: Plan, results: Results, measures: Mapping[str, Callable[[Path], Awaitable[object]]]
) -> None:
    """Measure those of the figures that are wanted, and note each under its name."""
    for figure, measure in measures.items():
        if figure in plan.figures:
            measured = await _attempt(results, figure, measure)
            getattr(results, figure).extend([measured] if measured else [])


async def _isolation_figures(plan: Plan, results: Results) -> None:
    requests = plan.beside_requests
    await _each(plan, results, {name: partial(one, requests=requests) for name, one in ISOLATION.items()})


async def _shared_figures(plan: Plan, results: Results) -> None:
    measures: dict[str, Callable[[Path], Awaitable[object]]] = {
        "fairness": partial(measure_fairness, requests=plan.fairness_requests),
        "claimers": measure_claimers,
        "bulk": partial(measure_bulk, jobs=plan.bulk_jobs, requests=plan.wait_requests),
        "dashboard": measure_dashboard,
        "cli": measure_commands,
        "masking": measure_masking,
    }
    await _each(plan, results, measures)


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
