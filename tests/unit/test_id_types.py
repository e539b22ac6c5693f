"""No function takes two ids by position that a caller could exchange unnoticed."""

import ast
from pathlib import Path

import runwright

SOURCE = Path(runwright.__file__).parent
ELSEWHERE = {"client", "cli", "mcp", "harness", "programs"}
"""What users call with ids of the API as text, and what runs inside sandboxes."""


def _plain_ids(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the parameters by position that are ids as plain text."""
    return [
        one.arg
        for one in (*function.args.posonlyargs, *function.args.args)
        if one.arg.endswith("_id") and isinstance(one.annotation, ast.Name) and one.annotation.id == "str"
    ]


def test_of_two_ids_by_position_at_most_one_is_plain_text() -> None:
    exchangeable = {
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}": ids
        for path in SOURCE.rglob("*.py")
        if not ELSEWHERE.intersection(path.relative_to(SOURCE).parts)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and len(ids := _plain_ids(node)) > 1
    }
    assert exchangeable == {}
