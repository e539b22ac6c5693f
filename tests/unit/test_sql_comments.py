"""SQL of more than three parts says what each part holds, and names what it returns."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import runwright

SOURCE = Path(runwright.__file__).parent
MOST_PARTS_WITHOUT_COMMENTS = 3
_PART = re.compile(r"\b(?P<name>[a-z_]+) AS (?:NOT )?(?:MATERIALIZED )?\(")
_NAMED_IN_COMMENT = re.compile(r"--\s*([a-z_]+(?:, [a-z_]+)*): ")
_STARS = re.compile(r"\bSELECT (?:[a-z_]+\.)?\*|,\s*(?:[a-z_]+\.)?\*(?=[\s,])")


def _modules() -> Iterator[str]:
    for path in sorted(SOURCE.rglob("*.py")):
        if (
            re.search(r"\bWITH\b", path.read_text())
            and "harness" not in path.parts
            and "programs" not in path.parts
        ):
            yield ".".join(("runwright", *path.relative_to(SOURCE).with_suffix("").parts))


def _sql_of(module_name: str) -> Iterator[tuple[str, str]]:
    """Yield the statements of a module: its constants as they are when composed, and literals in its functions."""
    module = importlib.import_module(module_name)
    for name, value in vars(module).items():
        if isinstance(value, str) and not name.startswith("__"):
            yield f"{module_name}.{name}", value
    tree = ast.parse(Path(str(module.__file__)).read_text())
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{module_name}.{function.name}", node.value
                elif isinstance(node, ast.JoinedStr):
                    yield f"{module_name}.{function.name}", _text_of(node)


def _text_of(node: ast.JoinedStr) -> str:
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "composed" for v in node.values)


def _long_statements() -> dict[str, str]:
    return {
        place: text
        for module in _modules()
        for place, text in _sql_of(module)
        if re.match(r"\s*(--[^\n]*\s*)*WITH\b", text)
        and len(_PART.findall(text)) > MOST_PARTS_WITHOUT_COMMENTS
    }


def _has_comment(text: str, part: re.Match[str]) -> bool:
    """Return whether a line of comment is directly before the part or is its first line."""
    before = text[: text.rfind("\n", 0, part.start())].rstrip()
    last_line = before[before.rfind("\n") + 1 :].strip()
    alone = not text[text.rfind("\n", 0, part.start()) : part.start()].strip()
    return (alone and last_line.startswith("--")) or text[part.end() :].lstrip().startswith("--")


def _uncommented(text: str) -> list[str]:
    return [part["name"] for part in _PART.finditer(text) if not _has_comment(text, part)]


def _result(text: str) -> str:
    """Return what follows the last part."""
    start = end = [*_PART.finditer(text)][-1].end()
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    assert end > start
    return text[end:]


def test_statements_of_more_than_three_parts_are_found() -> None:
    found = _long_statements()
    assert len(found) > 12
    assert {"runwright.jobs.store.claim._CLAIM", "runwright.webhooks.store.outgoing._SETTLE"} <= found.keys()


def test_each_part_of_a_long_statement_has_a_comment() -> None:
    missing = {place: names for place, text in _long_statements().items() if (names := _uncommented(text))}
    assert not missing


def test_comments_name_parts_that_exist() -> None:
    wrong = {}
    for place, text in _long_statements().items():
        parts = set(_PART.findall(text))
        named = {name for names in _NAMED_IN_COMMENT.findall(text) for name in names.split(", ")}
        if named - parts:
            wrong[place] = named - parts
    assert not wrong


def test_long_statements_name_the_columns_of_their_result() -> None:
    assert not [place for place, text in _long_statements().items() if _STARS.search(_result(text))]
