"""`python -m tests.bench`: measure everything, or some of it, and write it down."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.compare import compare, lines_of
from tests.bench.plan import FIGURES, PEERS, Plan, run_plan
from tests.bench.report import write_report
from tests.bench.results import OURS

QUICK: Final = Plan(
    rounds=1,
    jobs=5_000,
    wait_requests=300,
    beside_requests=100,
    cold_workers=8,
    stored_jobs=100_000,
    read_requests=50,
    webhook_seconds=10,
    agents=10_000,
    schedules=2_000,
    schedule_minutes=1,
    fairness_requests=10,
    bulk_jobs=10_000,
)
FULL: Final = Plan(
    rounds=3,
    jobs=20_000,
    wait_requests=1_000,
    beside_requests=300,
    cold_workers=20,
    stored_jobs=1_000_000,
    read_requests=200,
    webhook_seconds=30,
    agents=10_000,
    schedules=10_000,
    schedule_minutes=5,
    fairness_requests=40,
    bulk_jobs=100_000,
)
COMPARED_REQUESTS: Final = 900


def main() -> int:
    """Run the bench; 1 where something that should have been measured failed."""
    options = _parser().parse_args()
    if options.compare:
        return _compare(options.compare, options.jobs or COMPARED_REQUESTS, options.out)
    names = set(options.only or [])
    plan = QUICK if options.quick else FULL
    plan = plan.narrowed(
        figures=[figure for figure in FIGURES if figure in names] or list(FIGURES),
        systems=[name for name in (OURS, *PEERS) if name in names] or [OURS, *PEERS],
        jobs=options.jobs,
        rounds=options.rounds,
        stored_jobs=options.stored_jobs,
    )
    results = asyncio.run(run_plan(plan))
    sys.stdout.write(write_report(results, options.out))
    sys.stdout.write(f"\nWritten to {options.out}/bench.md and {options.out}/bench.json\n")
    return 1 if results.failed else 0


def _compare(revision: str, requests: int, folder: Path) -> int:
    compared = asyncio.run(compare(revision, requests))
    text = "\n".join(lines_of(compared)) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.json").write_bytes(msgspec.json.format(msgspec.json.encode(compared), indent=2))
    sys.stdout.write(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    names = [*FIGURES, OURS, *PEERS]
    parser.add_argument("--only", action="append", choices=names, help="a figure or a system (repeatable)")
    parser.add_argument("--quick", action="store_true", help="one round with small numbers")
    parser.add_argument("--jobs", type=int, help="jobs per measurement of throughput, or of --compare")
    parser.add_argument("--rounds", type=int, help="how often to measure throughput and latency")
    parser.add_argument("--stored-jobs", type=int, help="jobs in the database of `listing` and `storage`")
    parser.add_argument("--compare", metavar="REV", help="this tree beside another commit, in one run")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder for the report")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
