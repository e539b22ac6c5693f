"""Values of expressions: their types, truth, comparison and printed form."""

from typing import Final, TypeAlias, TypeGuard

import msgspec

from runwright.core.number_text import json_number
from runwright.core.template_context import Json, TemplateContext
from runwright.gotemplate.budget import RenderBudget
from runwright.gotemplate.errors import TemplateError


class MissingValue(msgspec.Struct, frozen=True):
    """The result of `index` for a missing entry; `where` is its path in the template."""

    where: str


Value: TypeAlias = "Json | MissingValue | TemplateContext"

NOTHING: Final = "<nil>"


def is_number(value: Value) -> TypeGuard[int | float]:
    """Return whether this is a number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_nothing(value: Value) -> TypeGuard[MissingValue | None]:
    """Return whether this is null or missing."""
    return value is None or isinstance(value, MissingValue)


def whole(value: Value) -> int | None:
    """Return a number without a fraction as an integer; None for other values."""
    if not is_number(value):
        return None
    return int(value) if value == int(value) else None


def truth(value: Value) -> bool:
    """Return the truth of a value, as in `if`."""
    if isinstance(value, TemplateContext):
        return True
    return not is_nothing(value) and bool(value)


def type_name(value: Value) -> str:
    """Return Go's name of the type of a value."""
    if is_nothing(value):
        return NOTHING
    names: dict[type, str] = {
        bool: "bool",
        str: "string",
        int: "int",
        float: "float64",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }
    return names.get(type(value), "TemplateContext")


def printed(value: Value, budget: RenderBudget) -> str:
    """Return the printed form of a value."""
    if isinstance(value, str):
        text = value
    elif is_nothing(value):
        text = ""
    else:
        text = _nested(value, budget)
    budget.copy(len(text))
    return text


def field_of(value: Value, name: str) -> Value:
    """Return a field of a value. Raises TemplateError if there is none."""
    if isinstance(value, TemplateContext):
        return _root_field(value, name)
    if is_nothing(value):
        raise TemplateError(f"nil data; no entry for key {name[:80]!r}")
    if not isinstance(value, dict):
        raise TemplateError(f"can't evaluate field {name[:80]} in type {type_name(value)}")
    if name not in value:
        raise TemplateError(f'map has no entry for key "{name[:80]}"')
    return value[name]


def _root_field(context: TemplateContext, name: str) -> Value:
    fields: dict[str, Value] = {
        "Kind": context.kind,
        "Scope": context.scope,
        "WorkspaceID": context.workspace_id,
        "Source": context.source,
        "Data": context.data,
    }
    if name not in fields:
        raise TemplateError(f"can't evaluate field {name[:80]} in the activation")
    return fields[name]


def _nested(value: Value, budget: RenderBudget) -> str:
    """Return the printed form of a value in a list or an object, as Go's `%v` does."""
    budget.spend()
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if value is None or isinstance(value, MissingValue):
        return NOTHING
    budget.enter()
    text = _container(value, budget)
    budget.leave()
    budget.copy(len(text))
    return text


def _container(value: list[Json] | dict[str, Json] | TemplateContext, budget: RenderBudget) -> str:
    if isinstance(value, list):
        return "[" + " ".join(_nested(item, budget) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_nested(value[key], budget)}" for key in sorted(value)) + "]"
    parts = (value.kind, value.scope, value.workspace_id, value.source, _nested(value.data, budget))
    return "{" + " ".join(parts) + "}"


def number_text(number: float) -> str:
    """Return a number as JSON would print it."""
    try:
        return json_number(number)
    except ValueError:  # more digits than Python prints
        raise TemplateError("a number has too many digits") from None


def equal(left: Value, right: Value, budget: RenderBudget) -> bool:
    """Return whether two values are equal. Raises TemplateError if they cannot be compared."""
    for value in (left, right):
        if isinstance(value, list | dict | TemplateContext):
            raise TemplateError("error calling eq: non-comparable type")
    if is_nothing(left) or is_nothing(right):
        return is_nothing(left) and is_nothing(right)
    return _same_kind(left, right, budget) and left == right


def less(left: Value, right: Value, budget: RenderBudget) -> bool:
    """Return whether one value is less than another. Raises TemplateError if they have no order."""
    for value in (left, right):
        if not (isinstance(value, str) or is_number(value)):
            raise TemplateError("error calling lt: invalid type for comparison")
    _same_kind(left, right, budget)
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    assert is_number(left)  # noqa: S101  both have one type
    assert is_number(right)  # noqa: S101
    return left < right


def _same_kind(left: Value, right: Value, budget: RenderBudget) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        budget.copy(min(len(left), len(right)))
    elif type(left) is not type(right) and not (is_number(left) and is_number(right)):
        raise TemplateError("error calling eq: incompatible types for comparison")
    return True
