"""Read the attempts from the source of the programs, which run only inside a sandbox."""

import ast
from pathlib import Path
from typing import Final

import msgspec

from runwright.escape_test.model import EscapeAttempt

PROGRAMS: Final = Path(__file__).parent / "programs"
KIT: Final = "escape_kit"
_WORKER: Final = """
import sys, types
for name, text in {texts!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)

def handler(input, env):
    function = getattr(sys.modules[{group!r}], input["function"])
    if input["first"]:
        return function(input["targets"])
    return sys.modules[{kit!r}].make_attempt(function, input["targets"])
"""


def find_attempts() -> list[EscapeAttempt]:
    """Return every attempt, group by group, in the order of the files."""
    files = [path for path in sorted(PROGRAMS.glob("*.py")) if path.stem != KIT]
    return [attempt for path in files for attempt in _read(path)]


def worker_source(group: str) -> bytes:
    """Return the code of a worker that makes the attempts of a group."""
    texts = {name: (PROGRAMS / f"{name}.py").read_text() for name in (KIT, group)}
    return _WORKER.format(texts=texts, group=group, kit=KIT).encode()


def _read(path: Path) -> list[EscapeAttempt]:
    attempts = []
    for node in ast.parse(path.read_text()).body:
        options = _options(node) if isinstance(node, ast.FunctionDef) else None
        if isinstance(node, ast.FunctionDef) and options is not None:
            tries = " ".join((ast.get_docstring(node) or "").split())
            fields = {"name": node.name.replace("_", "-"), "group": path.stem.replace("_", " ")}
            fields |= {"function": node.name, "tries": tries}
            attempts.append(msgspec.convert({**fields, **options}, EscapeAttempt))
    return attempts


def _options(function: ast.FunctionDef) -> dict[str, object] | None:
    """Return the options of an attempt; None for a function that is not an attempt."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else None
        if isinstance(decorator, ast.Call) and isinstance(called, ast.Name) and called.id == "attempt":
            return {one.arg: ast.literal_eval(one.value) for one in decorator.keywords if one.arg is not None}
    return None
