"""Runs the tests that reach a changed line, in a child of the process that has collected them.

Every child begins with a copy of the unchanged parent, so a mutant costs little more than its tests.
"""

import asyncio
import functools
import gc
import json
import os
import signal
import sys
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TextIO

import coverage
import pytest
from hypothesis import Phase, settings

from runwright.db.pool import connect
from tests import other_postgres
from tests.mutate.changes import ROOT, Mutant, changed_codes
from tests.mutate.fates import (
    ARGUED_ONE,
    KILLED,
    NOT_APPLIED,
    SURVIVED,
    TIMED_OUT,
    UNREACHED,
    argued_keys,
    key_of,
)

GRACE_SECONDS: Final = 60.0
TIMES_AS_LONG: Final = 5
"""A mutant with which a test takes that much longer than without it has timed out."""

NOT_APPLIED_CODE: Final = 3
CACHED: Final = type(functools.cache(len))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def functions_of(files: set[str]) -> Iterator[types.FunctionType]:
    """Yield all functions whose code is in these files, wherever they are kept."""
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__code__.co_filename in files:
            yield thing


def replace_code(mutant: Mutant, functions: Sequence[types.FunctionType]) -> None:
    """Put the changed code into every function that has the original one."""
    codes = changed_codes(mutant)
    replaced = 0
    for function in functions:
        code = function.__code__
        if code.co_filename == str(ROOT / mutant.file):
            changed_code = codes[code.co_qualname, code.co_firstlineno]
            replaced += changed_code != code
            function.__code__ = changed_code
    assert replaced, mutant
    for thing in gc.get_objects():
        if isinstance(thing, CACHED):
            thing.cache_clear()


class Driver:
    """A plugin of pytest: runs the tests once to see what they reach, then again for every mutant."""

    def __init__(self, mutants: Sequence[Mutant]) -> None:
        self.mutants = mutants
        self.fates: dict[str, list[Mutant]] = defaultdict(list)
        self._argued = argued_keys()
        self._files = {str(ROOT / mutant.file) for mutant in mutants}
        self._functions: list[types.FunctionType] = []
        self._callers: dict[tuple[str, int], set[pytest.Item]] = defaultdict(set)
        self._seconds: dict[pytest.Item, float] = {}
        """How long each test takes that passes without a mutant."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # After the profile of the suite, and before a test takes it: nobody reads a shrunk counterexample.
        settings.register_profile("mutation", settings.default, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._functions = [*functions_of(self._files)]
        gc.freeze()
        self._watch_tests(session)
        for count, mutant in enumerate(self.mutants, 1):
            fate = self._try(session, mutant)
            if fate != KILLED and key_of(mutant) in self._argued:
                fate = ARGUED_ONE
            self.fates[fate].append(mutant)
            if fate not in {KILLED, ARGUED_ONE}:
                say(f"  {fate}: {mutant.file}:{mutant.line} {mutant.function}: {mutant.change}")
            if count % 10 == 0 or count == len(self.mutants):
                figures = ", ".join(f"{len(found)} {fate}" for fate, found in self.fates.items())
                say(f"{count}/{len(self.mutants)}: {figures}")
        return True

    def _watch_tests(self, session: pytest.Session) -> None:
        """Run every test in a child that writes down how long it takes and which lines it reaches."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                self._record_tests(session, out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                number, seconds, reached = json.loads(line)
                item = session.items[number]
                if seconds is None:
                    say(f"  fails without any mutant, so it does not count: {item.nodeid}")
                    continue
                self._seconds[item] = seconds
                for file, reached_line in reached:
                    self._callers[file, reached_line].add(item)
        os.waitpid(pid, 0)

    def _record_tests(self, session: pytest.Session, out: TextIO) -> None:
        watch = coverage.Coverage(data_file=None, include=[*self._files], config_file=False)
        watch.start()
        passed: dict[int, float | None] = {}
        for number, item in enumerate(session.items):
            watch.switch_context(str(number))
            seconds = [0.0]
            passed[number] = None if run_tests(session, [item], seconds) else sum(seconds)
        watch.stop()
        data = watch.get_data()
        reached = defaultdict(list)
        for file in data.measured_files():
            for line, contexts in data.contexts_by_lineno(file).items():
                for one in contexts:
                    reached[one].append((file, line))
        for number, took in passed.items():
            out.write(json.dumps((number, took, reached[str(number)])) + "\n")

    def _try(self, session: pytest.Session, mutant: Mutant) -> str:
        items = self._callers[str(ROOT / mutant.file), mutant.line]
        if not items:
            return UNREACHED
        quickest_first = sorted(items, key=lambda item: self._seconds[item])
        pid = os.fork()
        if pid == 0:
            self._run_mutant(session, mutant, quickest_first)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _end_group(pid)
        if "database_url" in {name for item in items for name in getattr(item, "fixturenames", ())}:
            asyncio.run(_drop_databases())
        fates = {0: SURVIVED, NOT_APPLIED_CODE: NOT_APPLIED, -signal.SIGALRM: TIMED_OUT}
        return fates.get(status, KILLED)

    def _run_mutant(self, session: pytest.Session, mutant: Mutant, items: list[pytest.Item]) -> None:
        """Run the tests with a mutant and exit, in a child."""
        os.setsid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            replace_code(mutant, self._functions)
        except (AssertionError, KeyError, ValueError):
            os._exit(NOT_APPLIED_CODE)
        os._exit(int(run_tests(session, items, [], self._seconds)))


def _end_group(pid: int) -> None:
    """End what a mutant has left running."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def _drop_databases() -> None:
    """Drop what the tests of a mutant were lent."""
    connection = await connect(os.environ[other_postgres.ADDRESS])
    for (name,) in await connection.fetch("SELECT datname FROM pg_database WHERE datname ~ '^(test|empty)_'"):
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


def run_tests(
    session: pytest.Session,
    items: list[pytest.Item],
    seconds: list[float],
    usual: Mapping[pytest.Item, float] | None = None,
) -> bool:
    """Run tests; return whether one failed, after the first that does. Adds how long each phase took.

    Ends the process by an alarm where a test takes many times as long as usual.
    """
    failed = False

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            nonlocal failed
            failed = failed or report.failed
            seconds.append(report.duration)

    watch = Watch()
    session.config.pluginmanager.register(watch)
    for number, item in enumerate(items):
        following = items[number + 1] if number + 1 < len(items) else None
        if usual is not None:
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS + TIMES_AS_LONG * usual[item])
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if failed:
            break
    session.config.pluginmanager.unregister(watch)
    return failed
