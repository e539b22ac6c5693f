"""What a template consists of."""

from typing import TypeAlias

import msgspec

Constant: TypeAlias = str | int | float | bool


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Something at a line of the source, spelled like that."""

    line: int
    source: str = ""


class Literal(Node, frozen=True, kw_only=True):
    """A text, number or truth value."""

    value: Constant


class Nil(Node, frozen=True, kw_only=True):
    """The word `nil`."""


class Dot(Node, frozen=True, kw_only=True):
    """The dot."""


class Variable(Node, frozen=True, kw_only=True):
    """`$`, or `$name`."""

    name: str


class Function(Node, frozen=True, kw_only=True):
    """The name of a function."""

    name: str


class Fields(Node, frozen=True, kw_only=True):
    """Something, and the fields to walk from there: `.a.b`, `$x.a`, `(…).a`."""

    base: "Operand"
    names: tuple[str, ...]


class Command(Node, frozen=True, kw_only=True):
    """An operand, or a function and its arguments."""

    words: "tuple[Operand, ...]"


class Pipeline(Node, frozen=True, kw_only=True):
    """Commands, each of which gets the result of the one before; and the variables that get the last."""

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


Operand: TypeAlias = Literal | Nil | Dot | Variable | Function | Fields | Pipeline


class Text(Node, frozen=True, kw_only=True):
    """What stands outside of actions."""

    text: str


class Action(Node, frozen=True, kw_only=True):
    """A pipeline whose result is printed, unless it goes into a variable."""

    pipeline: Pipeline


class Branch(Node, frozen=True, kw_only=True):
    """What `if`, `with` and `range` have in common."""

    pipeline: Pipeline
    body: "Body"
    otherwise: "Body"


class If(Branch, frozen=True, kw_only=True):
    """`if`."""


class With(Branch, frozen=True, kw_only=True):
    """`with`."""


class Range(Branch, frozen=True, kw_only=True):
    """`range`."""


class Include(Node, frozen=True, kw_only=True):
    """`template`, also what stands in the place of a `block`."""

    name: str
    pipeline: Pipeline | None


class Break(Node, frozen=True, kw_only=True):
    """`break`."""


class Continue(Node, frozen=True, kw_only=True):
    """`continue`."""


Statement: TypeAlias = Text | Action | If | With | Range | Include | Break | Continue
Body: TypeAlias = tuple[Statement, ...]
