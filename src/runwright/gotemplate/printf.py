"""`printf`: Go's formatting verbs.

As in Go, a mistake in the format is not an error but appears in the output, `%!d(string=x)`.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from runwright.core.template_context import Json
from runwright.gotemplate.budget import RenderBudget
from runwright.gotemplate.escaping import quoted
from runwright.gotemplate.values import (
    NOTHING,
    Value,
    is_nothing,
    is_number,
    number_text,
    printed,
    type_name,
    whole,
)

_DIRECTIVE: Final = re.compile(
    r"%(?P<flags>[-+# 0]*)(?:\[(?P<first>\d{1,9})\])?(?P<width>\*|\d{1,18})?"
    r"(?:(?P<point>\.)(?:\[(?P<second>\d{1,9})\])?(?P<precision>\*|\d{1,18})?)?"
    r"(?:\[(?P<third>\d{1,9})\])?(?P<verb>.)?",
    re.DOTALL,
)
_WIDEST: Final = 1_000_000
_STEPS_OF_A_DIRECTIVE: Final = 4
_LAST_CHARACTER: Final = 0x10FFFF
_SHORTEST_EXPONENT: Final = 6
_SMALLEST_EXPONENT: Final = -4


class _VerbFormat(msgspec.Struct, frozen=True):
    """The verb of a directive, with its flags, width and precision."""

    verb: str
    flags: str
    width: int | None
    precision: int | None

    def has(self, flag: str) -> bool:
        return flag in self.flags

    def signed(self, negative: bool) -> str:  # noqa: FBT001  it is the subject
        return "-" if negative else "+" if self.has("+") else " " if self.has(" ") else ""


def format_text(template: str, values: Sequence[Value], budget: RenderBudget) -> str:
    """Return the formatted text."""
    formatter = _Formatter(values, budget)
    pieces, at, length = [], 0, 0
    for found in _DIRECTIVE.finditer(template):
        pieces += [template[at : found.start()], formatter.directive(found)]
        at = found.end()
        length += len(pieces[-1]) + len(pieces[-2])
        budget.spend(_STEPS_OF_A_DIRECTIVE)
        budget.bound(length)
    return "".join([*pieces, template[at:], formatter.rest()])


class _Formatter:
    """Formats directives, which consume the values in order."""

    def __init__(self, values: Sequence[Value], budget: RenderBudget) -> None:
        self._values = values
        self._budget = budget
        self._next = 0
        self._reordered = False

    def directive(self, found: re.Match[str]) -> str:
        verb = found["verb"]
        if verb == "%":
            return "%"
        flags, problem = found["flags"], ""
        self._go_to(found["first"])
        width = self._size(found["width"])
        if found["width"] and width is None:
            problem = "%!(BADWIDTH)"
        if width is not None and width < 0:
            flags, width = flags + "-", -width
        self._go_to(found["second"])
        precision = self._size(found["precision"]) if found["precision"] else 0 if found["point"] else None
        if found["precision"] and precision is None:
            problem += "%!(BADPREC)"
        self._go_to(found["third"])
        if verb is None:
            return problem + "%!(NOVERB)"
        if precision is not None and precision < 0:
            precision = None
        return problem + self._value(_VerbFormat(verb, flags, width, precision))

    def rest(self) -> str:
        """Return Go's message about unused values; empty if there are none."""
        if self._reordered or self._next >= len(self._values):
            return ""
        extra = [self._described(value) for value in self._values[self._next :]]
        return f"%!(EXTRA {', '.join(extra)})"

    def _go_to(self, index: str | None) -> None:
        if index is not None:
            self._next = int(index) - 1
            self._reordered = True

    def _take(self) -> tuple[Value] | None:
        if not 0 <= self._next < len(self._values):
            return None
        self._next += 1
        return (self._values[self._next - 1],)

    def _size(self, text: str | None) -> int | None:
        if text is None:
            return None
        if text != "*":
            return int(text) if int(text) <= _WIDEST else None
        taken = self._take()
        size = whole(taken[0]) if taken else None
        return size if size is not None and abs(size) <= _WIDEST else None

    def _value(self, style: _VerbFormat) -> str:
        taken = self._take()
        if taken is None:
            return f"%!{style.verb}({'BADINDEX' if self._reordered else 'MISSING'})"
        if is_nothing(taken[0]) and style.verb != "T":
            return ""
        for size in (style.width, style.precision):
            self._budget.copy(size or 0)
        return self._one(taken[0], style)

    def _one(self, value: Value, style: _VerbFormat) -> str:
        """Format a value; of a list or an object each part, with the verb and the width."""
        if isinstance(value, list | dict) and style.verb != "T":
            return self._parts(value, style)
        text = self._formatted(value, style)
        if text is None:
            text = f"%!{style.verb}({self._described(value)})"
        return _padded(text, style)

    def _parts(self, value: list[Json] | dict[str, Json], style: _VerbFormat) -> str:
        self._budget.enter()
        if isinstance(value, list):
            text = "[" + " ".join(self._part(one, style) for one in value) + "]"
        else:
            pairs = (f"{self._part(key, style)}:{self._part(value[key], style)}" for key in sorted(value))
            text = f"map[{' '.join(pairs)}]"
        self._budget.leave()
        self._budget.copy(len(text))
        return text

    def _part(self, value: Json, style: _VerbFormat) -> str:
        self._budget.spend()
        for size in (style.width, style.precision):
            self._budget.copy(size or 0)
        if value is None:
            return _padded(NOTHING, style) if style.verb == "v" else f"%!{style.verb}({NOTHING})"
        return self._one(value, style)

    def _formatted(self, value: Value, style: _VerbFormat) -> str | None:
        """Return the formatted value; None if the verb does not apply to its type."""
        if style.verb == "T":
            return type_name(value)
        if style.verb == "t":
            return printed(value, self._budget) if isinstance(value, bool) else None
        if style.verb == "v" and not isinstance(value, str):
            return printed(value, self._budget)
        if isinstance(value, str):
            self._budget.copy(len(value) * (4 if style.verb in "xXq" else 1))
            return _text(value, style)
        if is_number(value):
            return _number(value, style)
        return printed(value, self._budget) if style.verb == "s" and not isinstance(value, bool) else None

    def _described(self, value: Value) -> str:
        return NOTHING if is_nothing(value) else f"{type_name(value)}={printed(value, self._budget)}"


def _padded(text: str, style: _VerbFormat) -> str:
    missing = (style.width or 0) - len(text)
    if missing <= 0:
        return text
    if style.has("-"):
        return text + " " * missing
    if not style.has("0"):
        return " " * missing + text
    sign = text[:1] if text[:1] in {"+", "-"} and style.verb not in "sqv" else ""
    return sign + "0" * missing + text.removeprefix(sign)


def _text(value: str, style: _VerbFormat) -> str | None:
    cut = value if style.precision is None else value[: style.precision]
    match style.verb:
        case "v" if style.has("#"):
            return quoted(cut)
        case "v" | "s":
            return cut
        case "q":
            return f"`{cut}`" if style.has("#") and "`" not in cut and cut.isprintable() else quoted(cut)
        case "x" | "X":
            octets = value.encode(errors="replace")[: style.precision]
            digits = octets.hex(" ") if style.has(" ") else octets.hex()
            return digits if style.verb == "x" else digits.upper()
        case _:
            return None


def _number(value: float, style: _VerbFormat) -> str | None:
    if style.verb in _FLOATING:
        try:
            return style.signed(value < 0) + _floating(abs(float(value)), style)
        except OverflowError:  # an integer beyond the range of floats
            return None
    integer = whole(value)
    if integer is None:
        return None
    if style.verb in _CHARACTERS:
        return _CHARACTERS[style.verb](integer) if 0 <= integer <= _LAST_CHARACTER else "\ufffd"
    if style.verb not in _BASES:
        return None
    code, prefix = _BASES[style.verb]
    digits = number_text(abs(integer)) if code == "d" else format(abs(integer), code)
    digits = digits.rjust(style.precision or 0, "0")
    return style.signed(integer < 0) + (prefix if style.has("#") or style.verb == "O" else "") + digits


_FLOATING: Final = frozenset("eEfFgG")
_BASES: Final = {
    "d": ("d", ""),
    "b": ("b", "0b"),
    "o": ("o", "0"),
    "O": ("o", "0o"),
    "x": ("x", "0x"),
    "X": ("X", "0X"),
}
_CHARACTERS: Final[dict[str, Callable[[int], str]]] = {
    "c": chr,
    "q": lambda code: quoted(chr(code), "'"),
    "U": lambda code: f"U+{code:04X}",
}


def _floating(value: float, style: _VerbFormat) -> str:
    if style.verb in "gG" and style.precision is None:
        text = _shortest(value)
        return text if style.verb == "g" else text.upper()
    return format(value, f".{6 if style.precision is None else style.precision}{style.verb}")


def _shortest(value: float) -> str:
    """Return the shortest digits that identify the number, with an exponent where Go uses one."""
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted() if number else 0
    if _SMALLEST_EXPONENT <= exponent < _SHORTEST_EXPONENT:
        return format(number, "f")
    digits = "".join(map(str, number.as_tuple().digits))
    mantissa = digits[0] + ("." + digits[1:] if digits[1:] else "")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
