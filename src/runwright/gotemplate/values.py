"""What expressions are worth: kinds, truth, and how values print."""

from typing import Final, TypeAlias, TypeGuard

import msgspec

from runwright.core.number_text import json_number
from runwright.core.template_context import Json, TemplateContext
from runwright.gotemplate.budget import Budget
from runwright.gotemplate.errors import TemplateError


class Missing(msgspec.Struct, frozen=True):
    """What `index` did not find; `where` is how the template spells it."""

    where: str


Value: TypeAlias = "Json | Missing | TemplateContext"

NOTHING: Final = "<nil>"


def is_number(value: Value) -> TypeGuard[int | float]:
    """Tell numbers from truth values, which Python does not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_nothing(value: Value) -> TypeGuard[Missing | None]:
    """Tell whether this is null, or was not found."""
    return value is None or isinstance(value, Missing)


def whole(value: Value) -> int | None:
    """Return a number without a fraction as an integer; None for anything else."""
    if not is_number(value):
        return None
    return int(value) if value == int(value) else None


def truth(value: Value) -> bool:
    """Tell whether `if` would take this."""
    if isinstance(value, TemplateContext):
        return True
    return not is_nothing(value) and bool(value)


def type_name(value: Value) -> str:
    """Return Go's name for the type of a value."""
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


def printed(value: Value, budget: Budget) -> str:
    """Return a value as it prints."""
    if isinstance(value, str):
        text = value
    elif is_nothing(value):
        text = ""
    else:
        text = _nested(value, budget)
    budget.copy(len(text))
    return text


def field_of(value: Value, name: str) -> Value:
    """Return a field; TemplateError where there is none."""
    if isinstance(value, TemplateContext):
        return _root_field(value, name)
    if is_nothing(value):
        raise TemplateError(f"nil data; no entry for key {name[:80]!r}")
    if not isinstance(value, dict):
        raise TemplateError(f"can't evaluate field {name[:80]} in type {type_name(value)}")
    if name not in value:
        raise TemplateError(f'map has no entry for key "{name[:80]}"')
    return value[name]


def _root_field(activation: TemplateContext, name: str) -> Value:
    fields: dict[str, Value] = {
        "Kind": activation.kind,
        "Scope": activation.scope,
        "WorkspaceID": activation.workspace_id,
        "Source": activation.source,
        "Data": activation.data,
    }
    if name not in fields:
        raise TemplateError(f"can't evaluate field {name[:80]} in the activation")
    return fields[name]


def _nested(value: Value, budget: Budget) -> str:
    """Print what stands in a list or an object, as Go's `%v` does."""
    budget.spend()
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if value is None or isinstance(value, Missing):
        return NOTHING
    budget.enter()
    text = _container(value, budget)
    budget.leave()
    budget.copy(len(text))
    return text


def _container(value: list[Json] | dict[str, Json] | TemplateContext, budget: Budget) -> str:
    if isinstance(value, list):
        return "[" + " ".join(_nested(item, budget) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_nested(value[key], budget)}" for key in sorted(value)) + "]"
    facts = (value.kind, value.scope, value.workspace_id, value.source, _nested(value.data, budget))
    return "{" + " ".join(facts) + "}"


def number_text(number: float) -> str:
    """Return a number as JSON would print it."""
    try:
        return json_number(number)
    except ValueError:  # more digits than Python wants to write
        raise TemplateError("a number has too many digits") from None
