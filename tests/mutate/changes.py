"""The changes that mutation testing makes to a function: one at a time, numbered within its file.

Constants of modules, default values and messages of errors are left alone.
"""

import ast
import copy
import functools
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

ROOT: Final = Path(__file__).parent.parent.parent

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip
NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(msgspec.Struct, frozen=True):
    """One change: the how-manieth of its file, and what it does."""

    file: str
    number: int
    line: int
    function: str
    change: str
    text: str
    """The line."""


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
            # In SQL and other long texts, a word after the end would often be an alias.
            changed = f"X{node.value}" if "\n" in node.value else f"{node.value}X"
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
        if not self._functions or self._functions[-1].lstrip("_")[:1].isupper():
            return False  # of a module or a class
        self.found.append((getattr(node, "lineno", 0), ".".join(self._functions), change))
        return len(self.found) - 1 == self.wanted


@functools.cache
def tree_of(file: str) -> ast.Module:
    """Return the module as it is in the file."""
    return ast.parse((ROOT / file).read_text())


def mutants_of(folders: Sequence[str]) -> Iterator[Mutant]:
    """Yield every change that the modules of these folders allow."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            lines = path.read_text().splitlines()
            mutator = Mutator()
            mutator.visit(copy.deepcopy(tree_of(file)))
            for number, (line, function, change) in enumerate(mutator.found):
                yield Mutant(file, number, line, function, change, lines[line - 1].strip())


def changed_codes(mutant: Mutant) -> dict[tuple[str, int], types.CodeType]:
    """Return the code of all functions of the changed module, by name and first line."""
    tree = Mutator(mutant.number).visit(copy.deepcopy(tree_of(mutant.file)))
    module = compile(tree, str(ROOT / mutant.file), "exec")
    return {(code.co_qualname, code.co_firstlineno): code for code in _codes(module)}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield part
            yield from _codes(part)
