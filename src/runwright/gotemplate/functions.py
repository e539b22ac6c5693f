"""The functions of the language. The evaluator implements `and` and `or`, which evaluate lazily."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from runwright.gotemplate import escaping
from runwright.gotemplate.budget import RenderBudget
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.printf import format_text
from runwright.gotemplate.values import (
    MissingValue,
    Value,
    equal,
    is_nothing,
    less,
    printed,
    truth,
    type_name,
    whole,
)

Call: TypeAlias = Callable[[Sequence[Value], RenderBudget], Value]


class FunctionSignature(msgspec.Struct, frozen=True):
    """The arity and the implementation of a function; without `call`, the evaluator implements it."""

    least: int
    most: int | None
    call: Call | None = None


def _print(values: Sequence[Value], budget: RenderBudget) -> str:
    pieces: list[str] = []
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            pieces.append(" ")
        pieces.append(printed(value, budget))
    return _joined(pieces, budget)


def _println(values: Sequence[Value], budget: RenderBudget) -> str:
    return _joined([" ".join(printed(value, budget) for value in values), "\n"], budget)


def _printf(values: Sequence[Value], budget: RenderBudget) -> str:
    form = values[0]
    if not isinstance(form, str):
        raise TemplateError(f"wrong type for value; expected string; got {type_name(form)}")
    return _joined([format_text(form, values[1:], budget)], budget)


def _joined(pieces: Sequence[str], budget: RenderBudget) -> str:
    budget.copy(sum(map(len, pieces)))
    return "".join(pieces)


def _escape(escape: Callable[[str], str]) -> Call:
    def call(values: Sequence[Value], budget: RenderBudget) -> str:
        text = _print(values, budget)
        budget.copy(4 * len(text))
        return _joined([escape(text)], budget)

    return call


def _len(values: Sequence[Value], budget: RenderBudget) -> int:
    value = values[0]
    if isinstance(value, str):
        budget.copy(len(value))
        return len(value.encode(errors="replace"))
    if isinstance(value, list | dict):
        return len(value)
    raise TemplateError(f"error calling len: len of type {type_name(value)}")


def _index(values: Sequence[Value], budget: RenderBudget) -> Value:
    value, *keys = values
    if isinstance(value, MissingValue):
        return value
    for at, key in enumerate(keys):
        budget.spend()
        found = _look_up(value, key, budget)
        if is_nothing(found):
            return MissingValue(" ".join(_spelled(each) for each in keys[: at + 1]))
        value = found
    return value


def _look_up(value: Value, key: Value, budget: RenderBudget) -> Value:
    if isinstance(value, dict):
        if not isinstance(key, str):
            raise TemplateError(f"error calling index: cannot index an object by {type_name(key)}")
        return value.get(key)
    place = whole(key)
    if not isinstance(value, list | str):
        raise TemplateError(f"error calling index: can't index item of type {type_name(value)}")
    if place is None:
        raise TemplateError(f"error calling index: cannot index a list by {type_name(key)}")
    if isinstance(value, str):
        budget.copy(len(value))
    held: Sequence[Value] = value if isinstance(value, list) else value.encode(errors="replace")
    if place < 0:
        raise TemplateError(f"error calling index: index out of range: {place}")
    return held[place] if place < len(held) else None


def _spelled(key: Value) -> str:
    return escaping.quoted(key[:80]) if isinstance(key, str) else str(key)[:80]


def _slice(values: Sequence[Value], budget: RenderBudget) -> Value:
    value, *bounds = values
    places = [whole(bound) for bound in bounds]
    if not isinstance(value, str | list):
        raise TemplateError(f"error calling slice: can't slice item of type {type_name(value)}")
    if isinstance(value, str) and len(places) == 3:  # noqa: PLR2004  the third bound is a capacity
        raise TemplateError("error calling slice: cannot 3-index slice a string")
    budget.copy(len(value))
    held = value.encode(errors="replace") if isinstance(value, str) else value
    first, last = [*places, *[0, len(held)][len(places) :]][:2]
    ordered = first is not None and last is not None and 0 <= first <= last <= len(held)
    if not ordered or None in places:
        raise TemplateError("error calling slice: index out of range")
    part = held[first:last]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _call(values: Sequence[Value], _: RenderBudget) -> Value:
    raise TemplateError(f"error calling call: non-function of type {type_name(values[0])}")


def _equal(values: Sequence[Value], budget: RenderBudget) -> bool:
    return any([equal(values[0], other, budget) for other in values[1:]])  # noqa: C419  a mismatch is an error


def _less(values: Sequence[Value], budget: RenderBudget) -> bool:
    return less(values[0], values[1], budget)


def _at_most(values: Sequence[Value], budget: RenderBudget) -> bool:
    return _less(values, budget) or equal(values[0], values[1], budget)


FUNCTIONS: Final[Mapping[str, FunctionSignature]] = {
    "and": FunctionSignature(1, None),
    "or": FunctionSignature(1, None),
    "not": FunctionSignature(1, 1, lambda values, _: not truth(values[0])),
    "len": FunctionSignature(1, 1, _len),
    "index": FunctionSignature(1, None, _index),
    "slice": FunctionSignature(1, 4, _slice),
    "print": FunctionSignature(0, None, _print),
    "printf": FunctionSignature(1, None, _printf),
    "println": FunctionSignature(0, None, _println),
    "html": FunctionSignature(0, None, _escape(escaping.html)),
    "js": FunctionSignature(0, None, _escape(escaping.js)),
    "urlquery": FunctionSignature(0, None, _escape(escaping.urlquery)),
    "call": FunctionSignature(1, None, _call),
    "eq": FunctionSignature(2, None, _equal),
    "ne": FunctionSignature(2, 2, lambda values, budget: not equal(values[0], values[1], budget)),
    "lt": FunctionSignature(2, 2, _less),
    "le": FunctionSignature(2, 2, _at_most),
    "gt": FunctionSignature(2, 2, lambda values, budget: not _at_most(values, budget)),
    "ge": FunctionSignature(2, 2, lambda values, budget: not _less(values, budget)),
}
