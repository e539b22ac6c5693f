"""Checking what a request brings, so that every bad field is reported at once.

A `Form` is a struct that requests fill in plus rules that its types cannot say. Reading JSON
tries the whole struct first, which is fast; only where that fails, or a rule objects, is each
field read by itself to gather all problems. Text that is not JSON at all is a MalformedError,
JSON that breaks rules an InvalidError whose `fields` name the bad ones (`config.KEY`, `jobs.3.input`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Generic, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec

from runwright.core.errors import InvalidError, MalformedError
from runwright.http.validation_messages import explain_mismatch

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")

Problem = tuple[str, str]
"""Where below the field (empty: the field itself) and what is wrong."""

Rule = Callable[[Any], Iterable[Problem]]
"""Checks the value of one field that has the right type and is neither null nor absent.

Text that turns out not to be JSON may be left to raise."""

_MOST_PROBLEMS: Final = 100
_LONGEST_NAME: Final = 100
_MOST_PARAMETERS: Final = 50
_LOST_PLUS: Final = re.compile(r"(T[0-9:.]+) (\d\d:?\d\d)\Z", re.ASCII)
_UNKNOWN: Final = "Is not a known field."


class Form(Generic[T]):
    """A struct to fill in; `refusals` says more of names that are not fields (read-only ones, say).

    A `lenient` one passes over names that are not fields; its struct must do so too.
    """

    def __init__(
        self,
        shape: type[T],
        rules: Mapping[str, Rule] | None = None,
        refusals: Mapping[str, str] | None = None,
        *,
        lenient: bool = False,
    ) -> None:
        self.shape = shape
        self._lenient = lenient
        self._rules = dict(rules or {})
        self._refusals = dict(refusals or {})
        self._decoder = msgspec.json.Decoder(shape)
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}

    def with_rules(self, rules: Mapping[str, Rule]) -> "Form[T]":
        """Return this form with further rules; one for a field that has a rule replaces it."""
        return Form(self.shape, {**self._rules, **rules}, self._refusals, lenient=self._lenient)

    def read_json(self, body: bytes | msgspec.Raw) -> T:
        """Return the struct that a body holds."""
        try:
            return self._read_whole(body) or self._gather(self._split(body), _decode_field)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse_malformed(error)

    def _read_whole(self, body: bytes | msgspec.Raw) -> T | None:
        """The fast way; None where anything is wrong with a field."""
        try:
            value = self._decoder.decode(body)
        except msgspec.ValidationError:
            return None
        for name, rule in self._rules.items():
            given = getattr(value, name)
            if given is not None and given is not msgspec.UNSET and any(True for _ in rule(given)):
                return None
        return value

    def read_query(self, query: bytes) -> T:
        """Return the struct that a query string holds; numbers are written as text there."""
        if not query:
            return self._gather({}, _convert_text)
        try:
            pairs = parse_qsl(
                query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
            )
        except ValueError:
            raise MalformedError("The query string has too many parameters.") from None
        given: dict[str, str] = {}
        for name, text in pairs:
            if name in given:
                raise InvalidError({name[:_LONGEST_NAME]: ["Is given more than once."]})
            given[name] = text
        return self._gather(given, _convert_text)

    def _split(self, body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
        try:
            bytes(body).decode()  # what no field holds is not decoded below
            return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            _refuse_other_than_object(body)

    def _gather(self, given: Mapping[str, V], read: Callable[[V, Any], object]) -> T:
        problems = Problems()
        values: dict[str, object] = {}
        for name in () if self._lenient else given.keys() - self._fields.keys():
            problems.add(name[:_LONGEST_NAME], self._refusals.get(name, _UNKNOWN))
        for name, field in self._fields.items():
            if name in given:
                try:
                    values[field.name] = read(given[name], field.type)
                except msgspec.ValidationError as error:
                    problems.add_below(name, *explain_mismatch(str(error), field.type))
                else:
                    self._apply_rule(field.name, name, values[field.name], problems)
            elif field.required:
                problems.add(name, "Is required.")
        problems.raise_if_any()
        return self.shape(**values)

    def _apply_rule(self, field: str, name: str, value: object, problems: "Problems") -> None:
        rule = self._rules.get(field)
        if rule is not None and value is not None:
            for where, message in rule(value):
                problems.add_below(name, where, message)


class Problems:
    """What is wrong with a request, by field, up to a bounded number of fields."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def add(self, field: str, message: str) -> None:
        if field in self._fields or len(self._fields) < _MOST_PROBLEMS:
            self._fields.setdefault(field, []).append(message)

    def add_below(self, field: str, where: str, message: str) -> None:
        self.add(f"{field}.{where}" if where else field, message)

    def raise_if_any(self) -> None:
        if self._fields:
            raise InvalidError(self._fields)


def _refuse_malformed(error: Exception) -> NoReturn:
    """Raise what a body that is not JSON is answered with."""
    if isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8"
    else:
        reason = str(error)
    raise MalformedError(f"The body cannot be read as JSON: {reason}.") from None


def _refuse_other_than_object(body: bytes | msgspec.Raw) -> NoReturn:
    """Raise what JSON that is no object is answered with, if it is JSON at all."""
    with suppress(msgspec.ValidationError):
        msgspec.json.decode(body)
    raise InvalidError({"body": ["Must be a JSON object."]})


def _decode_field(raw: msgspec.Raw, kind: Any) -> object:  # noqa: ANN401  a type expression has no type
    return msgspec.json.decode(raw, type=kind)


def _convert_text(text: str, kind: Any) -> object:  # noqa: ANN401  a type expression has no type
    try:
        # a zone's plus sign that was not escaped has become a space
        return msgspec.convert(_LOST_PLUS.sub(r"\1+\2", text), kind)
    except msgspec.ValidationError as strict:
        value = msgspec.convert(text, kind, strict=False)
        if isinstance(value, datetime):  # a bare number is no date
            raise strict from None
        return value
