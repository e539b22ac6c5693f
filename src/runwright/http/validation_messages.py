"""msgspec's validation errors as messages for the client that sent the value."""

import ast
import re
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

_AT: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
_KINDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "datetime": "an ISO 8601 date and time",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
_DATE: Final = "Must be an ISO 8601 date and time with a zone, for example 2030-01-31T08:00:00Z."

_PATTERN: Final = re.compile(r"Expected `str` matching regex ('.*'|\".*\")", re.DOTALL)
"""With the pattern as Python quotes it."""

_RULES: Final = (
    (re.compile(r"Expected `\w+` >= (.+)"), "Must be at least {0}."),
    (re.compile(r"Expected `\w+` <= (.+)"), "Must be at most {0}."),
    (re.compile(r"Expected `str` of length >= (\d+)"), "Must have at least {0} characters."),
    (re.compile(r"Expected `str` of length <= (\d+)"), "Must have at most {0} characters."),
    (re.compile(r"Expected `array` of length >= (\d+)"), "Must have at least {0} items."),
    (re.compile(r"Expected `array` of length <= (\d+)"), "Must have at most {0} items."),
    (re.compile(r"Object missing required field `(.+)`"), "Lacks the field {0}."),
    (re.compile(r"Object contains unknown field `(.+)`"), "Has the unknown field {0}."),
    (re.compile(r"(?:Number|Integer value) out of range"), "Holds a number that is out of range."),
)


def explain_mismatch(error: str, kind: Any) -> tuple[str, str]:  # noqa: ANN401  a type expression has no type
    """Return the path below the field (`allow.0`, or empty) to what is wrong, and a message."""
    where = ""
    if at := _AT.search(error):
        error = error[: at.start()]
        known = at[1].partition("[...]")[0]  # msgspec reports no path below keys of a dict
        where = ".".join(step[1] or step[2] for step in _STEP.finditer(known))
    return where, _message(error, kind)


def _message(error: str, kind: Any) -> str:  # noqa: ANN401  as above
    if error.startswith("Invalid enum value"):
        return f"Must be one of: {', '.join(_choices(kind))}."
    if "datetime" in error:
        return _DATE
    if found := _PATTERN.fullmatch(error):
        return f"Must match {ast.literal_eval(found[1])}."
    for pattern, words in _RULES:
        if found := pattern.fullmatch(error):
            return words.format(*found.groups())
    if found := re.fullmatch(r"Expected `(.+)`, got `(.+)`", error):
        expected = " or ".join(_KINDS.get(name, name) for name in found[1].split(" | "))
        return f"Must be {expected}, not {_KINDS.get(found[2], found[2])}."
    return f"Is not valid: {error}."


def _choices(kind: Any) -> list[str]:  # noqa: ANN401  as above
    """Return the values that a type made of enums and literals allows."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    return [word for part in get_args(kind) for word in _choices(part)]
