"""The syntax tree of a template. The names are those of Go's `text/template/parse`."""

from typing import TypeAlias

import msgspec

Constant: TypeAlias = str | int | float | bool


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node with its line and its text in the source."""

    line: int
    source: str = ""


class LiteralNode(Node, frozen=True, kw_only=True):
    """A text, number or boolean."""

    value: Constant


class NilNode(Node, frozen=True, kw_only=True):
    """The word `nil`."""


class DotNode(Node, frozen=True, kw_only=True):
    """The dot."""


class VariableNode(Node, frozen=True, kw_only=True):
    """`$`, or `$name`."""

    name: str


class FunctionNode(Node, frozen=True, kw_only=True):
    """The name of a function."""

    name: str


class FieldNode(Node, frozen=True, kw_only=True):
    """An operand and a chain of fields: `.a.b`, `$x.a`, `(…).a`."""

    base: "Operand"
    names: tuple[str, ...]


class CommandNode(Node, frozen=True, kw_only=True):
    """An operand, or a function and its arguments."""

    words: "tuple[Operand, ...]"


class PipelineNode(Node, frozen=True, kw_only=True):
    """Commands, each of which gets the result of the previous one, and variables for the last result."""

    commands: tuple[CommandNode, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


Operand: TypeAlias = LiteralNode | NilNode | DotNode | VariableNode | FunctionNode | FieldNode | PipelineNode


class TextNode(Node, frozen=True, kw_only=True):
    """Text outside of actions."""

    text: str


class ActionNode(Node, frozen=True, kw_only=True):
    """A pipeline whose result is printed, unless it is assigned to a variable."""

    pipeline: PipelineNode


class BranchNode(Node, frozen=True, kw_only=True):
    """The common fields of `if`, `with` and `range`."""

    pipeline: PipelineNode
    body: "Body"
    otherwise: "Body"


class IfNode(BranchNode, frozen=True, kw_only=True):
    """`if`."""


class WithNode(BranchNode, frozen=True, kw_only=True):
    """`with`."""


class RangeNode(BranchNode, frozen=True, kw_only=True):
    """`range`."""


class TemplateNode(Node, frozen=True, kw_only=True):
    """`template`, and the inclusion of a `block`."""

    name: str
    pipeline: PipelineNode | None


class BreakNode(Node, frozen=True, kw_only=True):
    """`break`."""


class ContinueNode(Node, frozen=True, kw_only=True):
    """`continue`."""


Statement: TypeAlias = (
    TextNode | ActionNode | IfNode | WithNode | RangeNode | TemplateNode | BreakNode | ContinueNode
)
Body: TypeAlias = tuple[Statement, ...]
