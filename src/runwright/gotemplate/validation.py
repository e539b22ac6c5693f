"""What is refused when a template is written, because it could never be filled in.

What a pipeline may hold is followed through the template: the activation itself (`ROOT`), its data
or something in it (`DATA`), one of its texts (`FACT`), or what cannot be told beforehand
(`UNKNOWN`). Fields may be taken of the first two, `index` looks into data only, and a template
may be given nothing but the activation.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.nodes import (
    Action,
    Body,
    Branch,
    Command,
    Dot,
    Fields,
    Function,
    Include,
    Node,
    Operand,
    Pipeline,
    Range,
    Statement,
    Variable,
    With,
)


class Scope(Enum):
    """What a value is known to be."""

    ROOT = auto()
    DATA = auto()
    FACT = auto()
    UNKNOWN = auto()


_ROOT_FIELDS: Final = {
    "Kind": Scope.FACT,
    "Scope": Scope.FACT,
    "WorkspaceID": Scope.FACT,
    "Source": Scope.FACT,
    "Data": Scope.DATA,
}


def check(templates: Mapping[str, Body]) -> None:
    """Raise TemplateError for the first thing that can never work."""
    for body in templates.values():
        _Checker(templates).body(body, Scope.ROOT)


class _Checker:
    def __init__(self, templates: Mapping[str, Body]) -> None:
        self._templates = templates

    def body(self, body: Body, dot: Scope) -> None:
        for statement in body:
            self._statement(statement, dot)

    def _statement(self, statement: Statement, dot: Scope) -> None:
        if isinstance(statement, Action):
            _pipeline(statement.pipeline, dot)
        elif isinstance(statement, Include):
            self._include(statement, dot)
        elif isinstance(statement, Branch):
            value = _pipeline(statement.pipeline, dot)
            inner = dot
            if isinstance(statement, Range):
                inner = Scope.UNKNOWN
            elif isinstance(statement, With):
                inner = value
            self.body(statement.body, inner)
            self.body(statement.otherwise, dot)

    def _include(self, include: Include, dot: Scope) -> None:
        if include.name not in self._templates:
            raise _refused(include, f'template "{include.name[:80]}" not defined')
        if include.pipeline is None or _only(include.pipeline) is not Dot or dot is not Scope.ROOT:
            raise _refused(include, f'template "{include.name[:80]}" must be given the root dot')


def _only(pipeline: Pipeline) -> type[Node] | None:
    """Return what the pipeline is where it is one word and nothing else."""
    words = pipeline.commands[0].words
    plain = len(pipeline.commands) == len(words) == 1 and not pipeline.variables
    return type(words[0]) if plain else None


def _pipeline(pipeline: Pipeline, dot: Scope) -> Scope:
    value: Scope | None = None
    for command in pipeline.commands:
        value = _command(command, dot, value)
    assert value is not None  # noqa: S101  the parser leaves no pipeline empty
    return value


def _command(command: Command, dot: Scope, piped: Scope | None) -> Scope:
    head, *rest = command.words
    scopes = [_operand(word, dot) for word in rest]
    if not isinstance(head, Function):
        return _operand(head, dot)
    if head.name not in {"index", "slice"}:
        return Scope.UNKNOWN
    looked_into = scopes[0] if scopes else piped
    if head.name == "index" and looked_into is not Scope.DATA:
        raise _refused(command, "index is only supported on .Data")
    return Scope.DATA if looked_into is Scope.DATA else Scope.UNKNOWN


def _operand(operand: Operand, dot: Scope) -> Scope:
    match operand:
        case Dot():
            return dot
        case Fields():
            return _fields(operand, dot)
        case Pipeline():
            return _pipeline(operand, dot)
        case _:
            return Scope.UNKNOWN


def _fields(fields: Fields, dot: Scope) -> Scope:
    if isinstance(fields.base, Variable):
        raise _refused(fields, "fields of variables are not supported")
    scope = _operand(fields.base, dot)
    for name in fields.names:
        scope = _field(fields, scope, name)
    return scope


def _field(fields: Fields, scope: Scope, name: str) -> Scope:
    if scope is Scope.DATA:
        return Scope.DATA
    if scope is Scope.ROOT and name in _ROOT_FIELDS:
        return _ROOT_FIELDS[name]
    if scope is Scope.ROOT:
        raise _refused(fields, f"unknown activation field .{name[:80]}")
    if scope is Scope.FACT:
        raise _refused(fields, f"can't take field .{name[:80]} of a text")
    raise _refused(fields, f"can't tell what .{name[:80]} is a field of")


def _refused(node: Node, text: str) -> TemplateError:
    spelled = f" at <{node.source[:80]}>" if node.source else ""
    return TemplateError(f"template: prompt:{node.line}{spelled}: {text}")
