"""Compile and render templates.

Only printing a missing value adds a warning: `{{index .Data "x"}}` does, `if index .Data "x"` does not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial
from typing import Final

import msgspec

from runwright.core.template_context import TemplateContext
from runwright.gotemplate.budget import RenderBudget, RenderLimits
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.functions import FUNCTIONS
from runwright.gotemplate.nodes import (
    ActionNode,
    Body,
    BreakNode,
    CommandNode,
    ContinueNode,
    DotNode,
    FieldNode,
    FunctionNode,
    IfNode,
    LiteralNode,
    NilNode,
    Node,
    Operand,
    PipelineNode,
    RangeNode,
    Statement,
    TemplateNode,
    TextNode,
    VariableNode,
    WithNode,
)
from runwright.gotemplate.parser import MAIN, parse
from runwright.gotemplate.validation import validate
from runwright.gotemplate.values import (
    MissingValue,
    Value,
    field_of,
    is_nothing,
    printed,
    truth,
    type_name,
    whole,
)

LONGEST: Final = 65_536
_DEFAULT: Final = RenderLimits()
_MOST_WARNINGS: Final = 20
_STEPS_OF_AN_ITERATION: Final = 6
_STEPS_OF_AN_INCLUDE: Final = 4
_STEPS_OF_AN_ACTION: Final = 2
_STEPS_OF_A_CALL: Final = 2
"""The costs of these, in addition to those of what they evaluate."""

_PRINTING: Final = frozenset({"print", "printf", "println", "html", "js", "urlquery"})


class _BodyEnd(Enum):
    """How the evaluation of a body ended."""

    ON = auto()
    BREAK = auto()
    CONTINUE = auto()


class GoTemplate(msgspec.Struct, frozen=True):
    """A compiled template."""

    templates: Mapping[str, Body]

    def render(self, context: TemplateContext, limits: RenderLimits = _DEFAULT) -> tuple[str, Sequence[str]]:
        """Return the rendered text, trimmed and without NUL, and the warnings.

        Raises TemplateError if the context lacks a field of the template, or a limit is exceeded.
        """
        evaluator = _Evaluator(self.templates, RenderBudget(limits))
        evaluator.run(self.templates[MAIN], context)
        text = "".join(evaluator.output)
        return text.replace("\0", "\ufffd").strip(), list(evaluator.warnings)


def compile_template(text: str) -> GoTemplate:
    """Parse and validate a template. Raises TemplateError if it is malformed or can never be rendered.

    A text without double braces is rendered unchanged.
    """
    if "{{" not in text and "}}" not in text:
        return GoTemplate({MAIN: (TextNode(line=1, text=text),)})
    if len(text) > LONGEST:
        raise TemplateError(f"a template must have at most {LONGEST} characters")
    try:
        templates = parse(text)
    except TemplateError as error:
        raise TemplateError(f"parse trigger prompt template: {error.message}") from None
    validate(templates)
    return GoTemplate(templates)


class _Evaluator:
    def __init__(self, templates: Mapping[str, Body], budget: RenderBudget) -> None:
        self.output: list[str] = []
        self.warnings: dict[str, None] = {}
        self._templates = templates
        self._budget = budget
        self._length = 0
        self._variables: list[tuple[str, list[Value]]] = []

    def run(self, body: Body, dot: Value) -> None:
        """Render a template; it sees the dot, but no variables of its surroundings."""
        outer, self._variables = self._variables, [("$", [dot])]
        self._body(body, dot)
        self._variables = outer

    def _body(self, body: Body, dot: Value) -> _BodyEnd:
        self._budget.enter()
        flow = _BodyEnd.ON
        with self._scope():
            for statement in body:
                flow = self._statement(statement, dot)
                if flow is not _BodyEnd.ON:
                    break
        self._budget.leave()
        return flow

    def _statement(self, statement: Statement, dot: Value) -> _BodyEnd:
        self._budget.spend()
        match statement:
            case TextNode():
                self._write(statement.text)
            case ActionNode():
                self._action(statement, dot)
            case IfNode() | WithNode():
                with self._scope():
                    return self._choose(statement, dot)
            case RangeNode():
                with self._scope():
                    return self._repeat(statement, dot)
            case TemplateNode():
                self._include(statement, dot)
            case BreakNode():
                return _BodyEnd.BREAK
            case ContinueNode():
                return _BodyEnd.CONTINUE
        return _BodyEnd.ON

    def _write(self, text: str) -> None:
        self.output.append(text)
        self._length += len(text)
        self._budget.copy(len(text))
        self._budget.bound(self._length)

    def _action(self, action: ActionNode, dot: Value) -> None:
        self._budget.spend(_STEPS_OF_AN_ACTION)
        value = self._pipeline(action.pipeline, dot)
        if not action.pipeline.variables:
            self._warn(value, action)
            self._write(str(self._explained(action, lambda: printed(value, self._budget))))

    def _choose(self, branch: IfNode | WithNode, dot: Value) -> _BodyEnd:
        value = self._pipeline(branch.pipeline, dot)
        if truth(value):
            return self._body(branch.body, value if isinstance(branch, WithNode) else dot)
        return self._body(branch.otherwise, dot)

    def _repeat(self, loop: RangeNode, dot: Value) -> _BodyEnd:
        value = self._pipeline(loop.pipeline, dot, assign=False)
        flow, iterated = _BodyEnd.ON, False
        for key, item in self._items(loop, value):
            iterated = True
            self._budget.spend(_STEPS_OF_AN_ITERATION)
            with self._scope():
                self._assign_loop_variables(loop.pipeline, key, item)
                flow = self._body(loop.body, item)
            if flow is _BodyEnd.BREAK:
                break
        return _BodyEnd.ON if iterated else self._body(loop.otherwise, dot)

    def _assign_loop_variables(self, pipeline: PipelineNode, key: Value, item: Value) -> None:
        values = (item,) if len(pipeline.variables) == 1 else (key, item)
        for name, value in zip(pipeline.variables, values, strict=False):
            self._set(name, value, declares=pipeline.declares)

    def _items(self, loop: RangeNode, value: Value) -> Iterator[tuple[Value, Value]]:
        count = whole(value)
        if isinstance(value, list):
            yield from enumerate(value)
        elif isinstance(value, dict):
            self._budget.spend(len(value))
            yield from ((key, value[key]) for key in sorted(value))
        elif count is not None:
            yield from ((number, number) for number in range(count))
        elif not is_nothing(value):
            raise self._problem(loop, f"range can't iterate over a {type_name(value)}")

    def _include(self, include: TemplateNode, dot: Value) -> None:
        self._budget.spend(_STEPS_OF_AN_INCLUDE)
        value = None if include.pipeline is None else self._pipeline(include.pipeline, dot)
        self.run(self._templates[include.name], value)

    def _pipeline(self, pipeline: PipelineNode, dot: Value, *, assign: bool = True) -> Value:
        value: Value = None
        for stage, command in enumerate(pipeline.commands):
            value = self._command(command, dot, (value,) if stage else ())
        if assign:
            for name in pipeline.variables:
                self._set(name, value, declares=pipeline.declares)
        return value

    def _command(self, command: CommandNode, dot: Value, piped: tuple[Value, ...]) -> Value:
        head, *rest = command.words
        if isinstance(head, FunctionNode):
            return self._call(head.name, rest, dot, piped, command)
        return self._operand(head, dot)

    def _call(
        self, name: str, words: Sequence[Operand], dot: Value, piped: tuple[Value, ...], at: Node
    ) -> Value:
        signature, count = FUNCTIONS[name], len(words) + len(piped)
        if count < signature.least or count > (count if signature.most is None else signature.most):
            raise self._problem(at, f"wrong number of args for {name}: got {count}")
        self._budget.spend(_STEPS_OF_A_CALL + count)
        if signature.call is None:
            return self._decide(words, dot, piped, until=name == "or")
        values = [*(self._operand(word, dot) for word in words), *piped]
        if name in _PRINTING:
            for value in values:
                self._warn(value, at)
        call = signature.call
        return self._explained(at, lambda: call(values, self._budget))

    def _decide(
        self, words: Sequence[Operand], dot: Value, piped: tuple[Value, ...], *, until: bool
    ) -> Value:
        """Evaluate `and` or `or`: return the first value that decides the result, else the last one."""
        value: Value = None
        for word in words:
            value = self._operand(word, dot)
            if truth(value) is until:
                return value
        return piped[0] if piped else value

    def _operand(self, operand: Operand, dot: Value) -> Value:  # noqa: PLR0911  one per kind of operand
        self._budget.spend()
        match operand:
            case LiteralNode():
                return operand.value
            case NilNode():
                return None
            case DotNode():
                return dot
            case VariableNode():
                return self._variable(operand)[0]
            case FunctionNode():
                return self._call(operand.name, (), dot, (), operand)
            case FieldNode():
                return self._fields(operand, dot)
            case PipelineNode():
                self._budget.enter()
                value = self._pipeline(operand, dot)
                self._budget.leave()
                return value

    def _fields(self, fields: FieldNode, dot: Value) -> Value:
        value = self._operand(fields.base, dot)
        for name in fields.names:
            self._budget.spend()
            value = self._explained(fields, partial(field_of, value, name))
        return value

    def _variable(self, variable: VariableNode) -> list[Value]:
        for name, held in reversed(self._variables):
            self._budget.spend()
            if name == variable.name:
                return held
        raise self._problem(variable, f"undefined variable {variable.name[:80]!r}")

    def _set(self, name: str, value: Value, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, [value]))
            return
        for known, held in reversed(self._variables):
            self._budget.spend()
            if known == name:
                held[0] = value
                return

    @contextmanager
    def _scope(self) -> Iterator[None]:
        known = len(self._variables)
        yield
        del self._variables[known:]

    def _warn(self, value: Value, at: Node) -> None:
        if is_nothing(value) and len(self.warnings) < _MOST_WARNINGS:
            what = f"nothing at index {value.where}" if isinstance(value, MissingValue) else "null"
            self.warnings[f"line {at.line}: <{at.source[:80]}> printed as empty: {what}"] = None

    def _explained(self, at: Node, work: Callable[[], Value]) -> Value:
        """Return the result of `work`; its errors name a node of the template."""
        try:
            return work()
        except TemplateError as error:
            raise self._problem(at, error.message) from None

    def _problem(self, at: Node, text: str) -> TemplateError:
        where = f"template: prompt:{at.line}: executing at <{at.source[:80]}>: "
        return TemplateError(text if text.startswith("template: prompt:") else where + text)
