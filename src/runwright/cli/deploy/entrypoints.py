"""A look at an entrypoint before it is uploaded: what cannot be parsed, or has no handler, is not sent."""

import ast
from pathlib import Path
from typing import Final

from runwright.cli.exits import CommandError
from runwright.cli.project.files import CodeFiles
from runwright.cli.project.model import ProjectWorker

_HANDLER: Final = "handler"
_PYTHON: Final = "python"


def check_entrypoint(worker: ProjectWorker, files: CodeFiles) -> str:
    """Return the signature of a python worker's handler; empty for other runtimes.

    CommandError where its files have syntax errors, or where the entrypoint has no handler.
    """
    if worker.runtime != _PYTHON:
        return ""
    signature = ""
    for file in files.taken:
        if file.path.endswith(".py"):
            module = _parse(worker, file.path, file.source)
            if file.path == worker.entrypoint:
                signature = _signature(worker, module)
    return signature


def _parse(worker: ProjectWorker, name: str, source: Path) -> ast.Module:
    try:
        return ast.parse(source.read_bytes(), filename=name)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{name}:{line}" if line else name
        raise CommandError(
            f"{worker.name}: {place}: {getattr(error, 'msg', error)}. Nothing was changed."
        ) from None


def _signature(worker: ProjectWorker, module: ast.Module) -> str:
    for statement in module.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.name == _HANDLER:
            return f"handler({ast.unparse(statement.args)})"
    if not _may_bind_handler(module):
        raise CommandError(
            f"{worker.name}: {worker.entrypoint} has no handler. Nothing was changed.",
            hint="Add one: async def handler(input, env): …",
        )
    return _HANDLER


def _may_bind_handler(module: ast.Module) -> bool:
    """Return whether a name `handler` may come from an import, an assignment, or a block such as `if`."""
    for node in ast.walk(module):
        if isinstance(node, ast.alias) and (node.asname or node.name) in {_HANDLER, "*"}:
            return True
        if isinstance(node, ast.Name) and node.id == _HANDLER and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == _HANDLER:
            return True
    return any(isinstance(one, ast.FunctionDef) and one.name == "__getattr__" for one in module.body)
