"""Reads the attempts out of the programs, which only ever run inside a sandbox."""

import ast
from pathlib import Path
from typing import Final

import msgspec

from runwright.escape_test.model import Attempt

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
        return function(input["bait"])
    return sys.modules[{kit!r}].answer(function, input["bait"])
"""


def find_attempts() -> list[Attempt]:
    """Return every attempt, group by group, in the order of the files."""
    files = [path for path in sorted(PROGRAMS.glob("*.py")) if path.stem != KIT]
    return [attempt for path in files for attempt in _read(path)]


def worker_source(group: str) -> bytes:
    """Return the code of a worker that makes the attempts of a group."""
    texts = {name: (PROGRAMS / f"{name}.py").read_text() for name in (KIT, group)}
    return _WORKER.format(texts=texts, group=group, kit=KIT).encode()


def _read(path: Path) -> list[Attempt]:
    attempts = []
    for node in ast.parse(path.read_text()).body:
        options = _options(node) if isinstance(node, ast.FunctionDef) else None
        if isinstance(node, ast.FunctionDef) and options is not None:
            tries = " ".join((ast.get_docstring(node) or "").split())
            fields = {"name": node.name.replace("_", "-"), "group": path.stem.replace("_", " ")}
            fields |= {"function": node.name, "tries": tries}
            attempts.append(msgspec.convert({**fields, **options}, Attempt))
    return attempts


def _options(function: ast.FunctionDef) -> dict[str, object] | None:
    """Return what the function was marked with; None for one that is no attempt."""
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "attempt":
            return {one.arg: ast.literal_eval(one.value) for one in mark.keywords if one.arg is not None}
    return None
