"""Everything that one run of the bench has measured."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench.masking import Masking
from tests.bench.result import (
    Agents,
    Bulk,
    Claimers,
    CommandTimes,
    Dashboard,
    Ingress,
    Latency,
    Memory,
    Storage,
    Throughput,
    Ticks,
    Webhooks,
)

OURS = "runwright"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when the run was made."""

    measured_at: str
    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str


class Subject(msgspec.Struct, frozen=True):
    """A system that was measured: its version and how it was set up."""

    version: str
    settings: str


class Results(msgspec.Struct, kw_only=True):
    """One list entry per round; the keys of throughputs are the systems.

    `busy_before` is how many per cent of the machine somebody else used just before a measurement.
    """

    machine: Machine
    subjects: dict[str, Subject] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    busy_before: dict[str, float] = {}
    submit: dict[str, list[Throughput]] = {}
    drain: dict[str, list[Throughput]] = {}
    wait: list[dict[str, Latency]] = []
    cold: list[dict[str, Latency]] = []
    memory: list[dict[str, Memory]] = []
    listing: list[dict[str, Latency]] = []
    storage: list[Storage] = []
    dashboard: list[Dashboard] = []
    schedules: list[Ticks] = []
    webhooks: list[Webhooks] = []
    agents: list[Agents] = []
    ingress: list[Ingress] = []
    neighbours: list[dict[str, Latency]] = []
    receivers: list[dict[str, Latency]] = []
    names: list[dict[str, Latency]] = []
    templates: list[dict[str, Latency]] = []
    fairness: list[dict[str, Latency]] = []
    streams: list[dict[str, Latency]] = []
    claimers: list[list[Claimers]] = []
    masking: list[Masking] = []
    bulk: list[Bulk] = []
    cli: list[CommandTimes] = []


def describe_machine() -> Machine:
    """Return what a reader needs to know about this machine, and nothing that names it."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return Machine(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        processor=names[0].partition(":")[2].strip() if names else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=sys.version.partition(" ")[0],
    )
