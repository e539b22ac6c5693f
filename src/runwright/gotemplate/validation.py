"""Reject templates that can never be rendered, when they are written.

The origin of values is tracked through the template: the context itself (`ROOT`), its data or a part of it
(`DATA`), one of its texts (`ATTRIBUTE`), or unknown (`UNKNOWN`). Only the first two have fields, `index` is
only supported on data, and an included template must be given the context.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.nodes import (
    ActionNode,
    Body,
    BranchNode,
    CommandNode,
    DotNode,
    FieldNode,
    FunctionNode,
    Node,
    Operand,
    PipelineNode,
    RangeNode,
    Statement,
    TemplateNode,
    VariableNode,
    WithNode,
)


class ValueOrigin(Enum):
    """Where a value comes from."""

    ROOT = auto()
    DATA = auto()
    ATTRIBUTE = auto()
    UNKNOWN = auto()


_ROOT_FIELDS: Final = {
    "Kind": ValueOrigin.ATTRIBUTE,
    "Scope": ValueOrigin.ATTRIBUTE,
    "WorkspaceID": ValueOrigin.ATTRIBUTE,
    "Source": ValueOrigin.ATTRIBUTE,
    "Data": ValueOrigin.DATA,
}


def validate(templates: Mapping[str, Body]) -> None:
    """Raise TemplateError if a template can never be rendered."""
    for body in templates.values():
        _Validator(templates).body(body, ValueOrigin.ROOT)


class _Validator:
    def __init__(self, templates: Mapping[str, Body]) -> None:
        self._templates = templates

    def body(self, body: Body, dot: ValueOrigin) -> None:
        for statement in body:
            self._statement(statement, dot)

    def _statement(self, statement: Statement, dot: ValueOrigin) -> None:
        if isinstance(statement, ActionNode):
            _pipeline(statement.pipeline, dot)
        elif isinstance(statement, TemplateNode):
            self._include(statement, dot)
        elif isinstance(statement, BranchNode):
            value = _pipeline(statement.pipeline, dot)
            inner = dot
            if isinstance(statement, RangeNode):
                inner = ValueOrigin.UNKNOWN
            elif isinstance(statement, WithNode):
                inner = value
            self.body(statement.body, inner)
            self.body(statement.otherwise, dot)

    def _include(self, include: TemplateNode, dot: ValueOrigin) -> None:
        if include.name not in self._templates:
            raise _refused(include, f'template "{include.name[:80]}" not defined')
        if include.pipeline is None or _only(include.pipeline) is not DotNode or dot is not ValueOrigin.ROOT:
            raise _refused(include, f'template "{include.name[:80]}" must be given the root dot')


def _only(pipeline: PipelineNode) -> type[Node] | None:
    """Return the type of the operand, if the pipeline consists of just that."""
    words = pipeline.commands[0].words
    plain = len(pipeline.commands) == len(words) == 1 and not pipeline.variables
    return type(words[0]) if plain else None


def _pipeline(pipeline: PipelineNode, dot: ValueOrigin) -> ValueOrigin:
    value: ValueOrigin | None = None
    for command in pipeline.commands:
        value = _command(command, dot, value)
    assert value is not None  # noqa: S101  the parser leaves no pipeline empty
    return value


def _command(command: CommandNode, dot: ValueOrigin, piped: ValueOrigin | None) -> ValueOrigin:
    head, *rest = command.words
    scopes = [_operand(word, dot) for word in rest]
    if not isinstance(head, FunctionNode):
        return _operand(head, dot)
    if head.name not in {"index", "slice"}:
        return ValueOrigin.UNKNOWN
    looked_into = scopes[0] if scopes else piped
    if head.name == "index" and looked_into is not ValueOrigin.DATA:
        raise _refused(command, "index is only supported on .Data")
    return ValueOrigin.DATA if looked_into is ValueOrigin.DATA else ValueOrigin.UNKNOWN


def _operand(operand: Operand, dot: ValueOrigin) -> ValueOrigin:
    match operand:
        case DotNode():
            return dot
        case FieldNode():
            return _fields(operand, dot)
        case PipelineNode():
            return _pipeline(operand, dot)
        case _:
            return ValueOrigin.UNKNOWN


def _fields(fields: FieldNode, dot: ValueOrigin) -> ValueOrigin:
    if isinstance(fields.base, VariableNode):
        raise _refused(fields, "fields of variables are not supported")
    scope = _operand(fields.base, dot)
    for name in fields.names:
        scope = _field(fields, scope, name)
    return scope


def _field(fields: FieldNode, scope: ValueOrigin, name: str) -> ValueOrigin:
    if scope is ValueOrigin.DATA:
        return ValueOrigin.DATA
    if scope is ValueOrigin.ROOT and name in _ROOT_FIELDS:
        return _ROOT_FIELDS[name]
    if scope is ValueOrigin.ROOT:
        raise _refused(fields, f"unknown activation field .{name[:80]}")
    if scope is ValueOrigin.ATTRIBUTE:
        raise _refused(fields, f"can't take field .{name[:80]} of a text")
    raise _refused(fields, f"cannot determine what .{name[:80]} is a field of")


def _refused(node: Node, text: str) -> TemplateError:
    spelled = f" at <{node.source[:80]}>" if node.source else ""
    return TemplateError(f"template: prompt:{node.line}{spelled}: {text}")
