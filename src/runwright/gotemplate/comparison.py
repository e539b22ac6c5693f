"""The comparison functions."""

from runwright.core.template_context import TemplateContext
from runwright.gotemplate.budget import RenderBudget
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.values import Value, is_nothing, is_number


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
