"""Mutation testing: `make mutate ARGS='core cron'`. Changes the code bit by bit and sees whether a test notices.

One process imports the code and collects the tests once. For every mutant it forks, replaces the code of one function
in the child, and runs the tests that reach the changed line.

Results are in build/mutation/: each mutant with its fate. A survivor that is listed in `argued.toml` counts as argued.
`--sample 200` takes that many, spread evenly; `--again` takes only those that the last run did not kill, `--only PATTERN`
those of files whose path has a match; neither of the two is kept.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from runwright.db.embedded import EmbeddedPostgres
from tests import other_postgres
from tests.databases import make_template
from tests.mutate.changes import ROOT, Mutant, mutants_of
from tests.mutate.driver import Driver, say
from tests.mutate.fates import (
    ARGUED_ONE,
    KILLED,
    argued_keys,
    key_of,
    not_killed_before,
    stale_keys,
    write_fates,
)

TARGETS: Final = {
    "core": (("src/runwright/core",), ("tests/unit/core", "tests/integration/db/test_histogram.py")),
    "cron": (("src/runwright/cron",), ("tests/unit/cron",)),
    "jobs": (
        ("src/runwright/jobs", "src/runwright/job_views"),
        (
            "tests/unit/jobs",
            "tests/integration/jobs",
            "tests/integration/job_views",
            "tests/integration/loops/test_pruner.py",
            "tests/integration/loops/test_completion_dispatcher.py",
        ),
    ),
    "executor": (("src/runwright/executor",), ("tests/integration/executor", "tests/unit/executor")),
    "leases": (
        ("src/runwright/leases",),
        (
            "tests/integration/leases",
            "tests/integration/loops/test_reaper.py",
            "tests/integration/executor/test_lease.py",
        ),
    ),
    "outbox": (
        ("src/runwright/outbox",),
        ("tests/unit/outbox", "tests/integration/outbox", "tests/integration/loops/test_sender.py"),
    ),
    "bulk": (("src/runwright/bulk",), ("tests/integration/bulk", "tests/integration/loops/test_bad_rows.py")),
    "handler_calls": (("src/runwright/handler_calls",), ("tests/integration/handler_calls",)),
}
"""What is changed, and the tests that are nearest to it."""


async def with_database(run: Callable[[], Awaitable[None]]) -> None:
    """Run it beside one PostgreSQL that every child uses."""
    with tempfile.TemporaryDirectory(prefix="runwright-mutate-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = EmbeddedPostgres(folder / "data")
        dsn = await server.start()
        try:
            await make_template(dsn)
            os.environ[other_postgres.ADDRESS] = dsn
            await run()
        finally:
            await server.stop()


def main() -> None:
    """Run each target in a process of its own."""
    parser = argparse.ArgumentParser(
        prog="tests.mutate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", default=[*TARGETS], choices=[*TARGETS, []])
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--in-child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_child:
        for target in given.targets:
            mutate(target, given.sample, only=given.only, again=given.again)
        return

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        options = [
            "--in-child",
            "--sample",
            str(given.sample),
            "--only",
            given.only,
            *(["--again"] if given.again else []),
        ]
        for target in given.targets:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.mutate", *options, target
            )
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()

    with contextlib.suppress(asyncio.CancelledError):  # by SIGTERM
        asyncio.run(with_database(run))


def mutate(target: str, sample: int, *, only: str, again: bool) -> None:
    """Try the mutants of one target, and write down their fates."""
    folders, tests = TARGETS[target]
    every = [*mutants_of(folders)]
    for key in stale_keys(every, folders):
        say(f"  argued, but not in the code: {': '.join(key)}")
    driver = Driver(
        _chosen(
            [one for one in every if re.search(only, one.file)],
            sample,
            not_killed_before(target) if again else None,
        )
    )
    there = [test for test in tests if (ROOT / test).exists()]
    # Not "-p asyncio": what this module has imported already cannot be rewritten, which is an error elsewhere.
    rewriting = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    pytest.main(
        [*rewriting, "-p", "no:cacheprovider", "-p", "no:terminal", "-o", "timeout=0", *there],
        plugins=[driver],
    )
    if not again and not only:
        write_fates(target, driver.fates)
    survived = {key_of(mutant) for mutant in driver.fates[ARGUED_ONE]}
    for mutant in driver.fates[KILLED]:
        if key_of(mutant) in argued_keys() - survived:
            say(f"  argued, but killed: {mutant.file}:{mutant.line} {mutant.function}: {mutant.change}")
    figures = ", ".join(f"{len(found)} {fate}" for fate, found in driver.fates.items())
    say(f"{target}: {len(driver.mutants)} of {len(every)} mutants: {figures}")


def _chosen(every: list[Mutant], sample: int, keys: set[tuple[str, ...]] | None) -> list[Mutant]:
    mutants = [one for one in every if keys is None or key_of(one) in keys]
    if not 0 < sample < len(mutants):
        return mutants
    return [mutants[number * len(mutants) // sample] for number in range(sample)]


if __name__ == "__main__":
    main()
