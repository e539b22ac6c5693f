"""Mutation testing: `make mutate ARGS='core cron'`. Changes the code bit by bit and sees whether a test notices.

One process imports the code and collects the tests once. For every mutant it forks, replaces the code of one function
in the child, and runs the tests that reach the changed line. The parent never changes, so a mutant costs little more than
its tests. Constants of modules, default values and messages of errors are left alone.

Results are in build/mutation/: each mutant with its fate. `--sample 200` takes that many, spread evenly.
"""

import argparse
import ast
import asyncio
import copy
import functools
import gc
import json
import os
import signal
import sys
import tempfile
import types
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import coverage
import msgspec
import pytest

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.pool import connect
from tests import other_postgres
from tests.databases import make_template

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "build" / "mutation"
SECONDS: Final = 60
"""A mutant that runs longer never ends, which its tests have noticed."""

TARGETS: Final = {
    "core": (("src/runwright/core",), ("tests/unit/core", "tests/integration/db/test_histogram.py")),
    "cron": (("src/runwright/cron",), ("tests/unit/cron",)),
    "jobs": (("src/runwright/jobs",), ("tests/integration/jobs", "tests/integration/loops/test_pruner.py")),
    "executor": (("src/runwright/executor",), ("tests/integration/executor", "tests/unit/executor")),
}
"""What is changed, and the tests that are nearest to it."""

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip
NOT_APPLIED: Final = 3
CACHED: Final = type(functools.cache(len))
NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(msgspec.Struct, frozen=True):
    """One change: the how-manieth of its file, and what it does."""

    file: str
    number: int
    line: int
    function: str
    change: str


class Mutator(ast.NodeTransformer):
    """Counts the changes that a module allows, and makes the one with the wanted number."""

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted = wanted
        self.found: list[tuple[int, str, str]] = []
        """Line, outermost function and description of each."""
        self._functions: list[str] = []
        self._quiet = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._functions.append(node.name)
        node.body = [self.visit(part) for part in node.body]
        self._functions.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: Any) -> ast.AST:  # noqa: ANN401  either kind
        self._functions.append(node.name)
        first = 1 if ast.get_docstring(node) is not None else 0
        node.body[first:] = [self.visit(part) for part in node.body[first:]]
        self._functions.pop()
        return ast.fix_missing_locations(node)  # type: ignore[no-any-return]

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        # What a message says is for readers, and tests quote parts of it only.
        self._quiet += 1
        self.generic_visit(node)
        self._quiet -= 1
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        for place, operator in enumerate(node.ops):
            other = COMPARISONS[type(operator)]
            if self._is_it(node, f"{type(operator).__name__} -> {other.__name__}"):
                node.ops[place] = other()
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        other = OPERATORS.get(type(node.op))
        if other is not None and self._is_it(node, f"{type(node.op).__name__} -> {other.__name__}"):
            node.op = other()
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        if self._is_it(node, f"{type(node.op).__name__} -> {other.__name__}"):
            node.op = other()
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if self._is_it(node, f"without {type(node.op).__name__}"):
            return self.visit(node.operand)  # type: ignore[no-any-return]
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        changed: object = node.value
        if isinstance(node.value, bool):
            changed = not node.value
        elif isinstance(node.value, int | float):
            changed = node.value + 1
        elif isinstance(node.value, str) and not self._quiet:
            changed = node.value + "X"
        elif isinstance(node.value, bytes) and not self._quiet:
            changed = node.value + b"X"
        if changed != node.value and self._is_it(node, f"{node.value!r} -> {changed!r}"):
            return ast.copy_location(ast.Constant(changed), node)  # type: ignore[arg-type]
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        other = NAMES.get(node.id)
        if other is not None and self._is_it(node, f"{node.id} -> {other}"):
            node.id = other
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        if self._is_it(node, "if not"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            return self.generic_visit(node)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        if self._is_it(node, "if and else swapped"):
            node.body, node.orelse = node.orelse, node.body
        return self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        has_value = node.value is not None and not (
            isinstance(node.value, ast.Constant) and node.value.value is None
        )
        if has_value and self._is_it(node, "return None"):
            return ast.copy_location(ast.Return(ast.Constant(None)), node)
        return self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> ast.AST:
        return ast.copy_location(ast.Continue(), node) if self._is_it(node, "break -> continue") else node

    def visit_Continue(self, node: ast.Continue) -> ast.AST:
        return ast.copy_location(ast.Break(), node) if self._is_it(node, "continue -> break") else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Call | ast.Await) and self._is_it(node, "statement left out"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def _is_it(self, node: ast.AST, change: str) -> bool:
        if not self._functions or self._functions[-1][0].isupper():
            return False  # of a module or a class
        self.found.append((getattr(node, "lineno", 0), ".".join(self._functions), change))
        return len(self.found) - 1 == self.wanted


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@functools.cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


def mutants_of(folders: Sequence[str]) -> Iterator[Mutant]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            mutator = Mutator()
            mutator.visit(copy.deepcopy(tree_of(file)))
            for number, (line, function, change) in enumerate(mutator.found):
                yield Mutant(file, number, line, function, change)


def functions_of(files: set[str]) -> Iterator[types.FunctionType]:
    """Yield all functions whose code is in these files, wherever they are kept."""
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__code__.co_filename in files:
            yield thing


def replace_code(mutant: Mutant, functions: Sequence[types.FunctionType]) -> None:
    """Put the changed code into every function that has the original one."""
    path = str(ROOT / mutant.file)
    changed = Mutator(mutant.number).visit(copy.deepcopy(tree_of(mutant.file)))
    codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes(compile(changed, path, "exec"))}
    replaced = 0
    for function in functions:
        code = function.__code__
        if code.co_filename == path:
            changed_code = codes[code.co_qualname, code.co_firstlineno]
            replaced += changed_code != code
            function.__code__ = changed_code
    assert replaced, mutant
    for thing in gc.get_objects():
        if isinstance(thing, CACHED):
            thing.cache_clear()


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield part
            yield from _codes(part)


class Driver:
    """A plugin of pytest: runs the tests once to see what they reach, then again for every mutant."""

    def __init__(self, mutants: Sequence[Mutant]) -> None:
        self.mutants = mutants
        self.fates: dict[str, list[Mutant]] = defaultdict(list)
        self._files = {str(ROOT / mutant.file) for mutant in mutants}
        self._functions: list[types.FunctionType] = []
        self._callers: dict[tuple[str, int], set[pytest.Item]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._functions = [*functions_of(self._files)]
        gc.freeze()
        self._find_callers(session)
        for count, mutant in enumerate(self.mutants, 1):
            fate = self._try(session, mutant)
            self.fates[fate].append(mutant)
            if fate != "killed":
                say(f"  {fate}: {mutant.file}:{mutant.line} {mutant.function}: {mutant.change}")
            if count % 10 == 0 or count == len(self.mutants):
                say(
                    f"{count}/{len(self.mutants)} { ({fate: len(found) for fate, found in self.fates.items()}) }"
                )
        return True

    def _find_callers(self, session: pytest.Session) -> None:
        """Run every test in a child that writes down which lines it reaches."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._record_lines(session, writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                file, number, contexts = json.loads(line)
                self._callers[file, number] = {session.items[int(one)] for one in contexts if one}
        os.waitpid(pid, 0)

    def _record_lines(self, session: pytest.Session, writing: int) -> None:
        watch = coverage.Coverage(data_file=None, include=[*self._files], config_file=False)
        watch.start()
        for number, item in enumerate(session.items):
            watch.switch_context(str(number))
            _run(session, [item])
        watch.stop()
        data = watch.get_data()
        with os.fdopen(writing, "w") as out:
            for file in data.measured_files():
                for line, contexts in data.contexts_by_lineno(file).items():
                    out.write(json.dumps((file, line, contexts)) + "\n")

    def _try(self, session: pytest.Session, mutant: Mutant) -> str:
        items = self._callers.get((str(ROOT / mutant.file), mutant.line), set())
        if not items:
            return "not reached"
        pid = os.fork()
        if pid == 0:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            try:
                replace_code(mutant, self._functions)
            except (AssertionError, KeyError, ValueError):
                os._exit(NOT_APPLIED)
            os._exit(int(_run(session, sorted(items, key=session.items.index))))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _end_group(pid)
        if "database_url" in {name for item in items for name in getattr(item, "fixturenames", ())}:
            asyncio.run(_drop_databases())
        return {0: "survived", NOT_APPLIED: "not applied"}.get(status, "killed")


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


def _run(session: pytest.Session, items: list[pytest.Item]) -> bool:
    """Run tests; return whether one failed, after the first that does."""
    failed = False

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            nonlocal failed
            failed = failed or report.failed

    watch = Watch()
    session.config.pluginmanager.register(watch)
    for number, item in enumerate(items):
        following = items[number + 1] if number + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if failed:
            break
    session.config.pluginmanager.unregister(watch)
    return failed


async def with_database(run: "Any") -> None:  # noqa: ANN401
    """Run it in a thread beside one PostgreSQL that every child uses."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=[*TARGETS], choices=[*TARGETS, []])
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--in-child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_child:
        for target in given.targets:
            mutate(target, given.sample)
        return

    async def run() -> None:
        command = [sys.executable, "-m", "tests.mutate", "--in-child", "--sample", str(given.sample)]
        for target in given.targets:
            process = await asyncio.create_subprocess_exec(*command, target)
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()

    asyncio.run(with_database(run))


def mutate(target: str, sample: int) -> None:
    """Try the mutants of one target, and write down their fates."""
    folders, tests = TARGETS[target]
    mutants = [*mutants_of(folders)]
    if 0 < sample < len(mutants):
        mutants = [mutants[number * len(mutants) // sample] for number in range(sample)]
    driver = Driver(mutants)
    there = [test for test in tests if (ROOT / test).exists()]
    # Not "-p asyncio": what this module has imported already cannot be rewritten, which is an error elsewhere.
    pytest.main(
        [
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:terminal",
            *there,
        ],
        plugins=[driver],
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {fate: [msgspec.to_builtins(one) for one in found] for fate, found in driver.fates.items()}, indent=1
    )
    (RESULTS / f"{target}.json").write_text(text)
    figures = ", ".join(f"{len(found)} {fate}" for fate, found in driver.fates.items())
    say(f"{target}: {len(mutants)} mutants: {figures}")


if __name__ == "__main__":
    main()
