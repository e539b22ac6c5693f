"""Validation of bodies and queries, which reports every invalid field at once.

A `Validator` is a struct plus rules that its types cannot express. The whole struct is decoded first,
which is fast; only if that fails, or a rule objects, is each field decoded alone to collect all
problems. Text that is not JSON raises MalformedError; JSON that breaks rules raises InvalidError,
whose `fields` name the invalid ones (`config.KEY`, `jobs.3.input`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, Final, Generic, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from runwright.core.errors import InvalidError, MalformedError
from runwright.core.half_characters import first_half
from runwright.core.json_text import count_containers
from runwright.core.struct_fields import inspect_fields
from runwright.http.validation_messages import explain_mismatch

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")

Problem = tuple[str, str]
"""The path below the field (empty: the field itself) and a message."""

Rule = Callable[[Any], Iterable[Problem]]
"""Yields the problems of one field's value, which has the right type and is neither null nor absent.

A rule may raise msgspec.DecodeError for text that is not JSON."""

_MOST_PROBLEMS: Final = 100
_LONGEST_NAME: Final = 100
_MOST_PARAMETERS: Final = 50
_SHORT_QUERY: Final = 32
_MOST_QUERIES: Final = 64
"""How many short queries are kept as they were read, such as `wait=10`, which takes as long as a body."""
_MOST_FIELDS: Final = 2000
"""A body that may have more fields is not split: of its unknown fields only the first is reported."""

MOST_CONTAINERS: Final = 20_000
"""Lists and objects in a body of which objects are made; each takes the time of many other values."""

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_SEARCHED_BYTES: Final = 64 * 1024
"""Bodies in which a more helpful reason is looked for than the decoder has."""

_LOST_PLUS: Final = re.compile(r"(T[0-9:.]+) (\d\d:?\d\d)\Z", re.ASCII)
_UNKNOWN: Final = "Is not a known field."
_WHOLE: Final = re.compile(rb"(-?[0-9]+)\.0+")
"""An integer, in the words of JSON Schema, as some languages write it."""


class Validator(Generic[T]):
    """Decodes and validates a struct; `refusals` are messages for known names that are not fields.

    With `lenient`, unknown names are ignored; the struct must ignore them too.
    """

    def __init__(
        self,
        struct: type[T],
        rules: Mapping[str, Rule] | None = None,
        refusals: Mapping[str, str] | None = None,
        *,
        lenient: bool = False,
    ) -> None:
        self.struct = struct
        self._lenient = lenient
        self._rules = dict(rules or {})
        self._refusals = dict(refusals or {})
        self._queries: dict[bytes, T] = {}
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        optional = not any(field.required for field in self._fields.values())
        self._defaults = struct() if optional and struct.__struct_config__.frozen else None

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.struct)

    @cached_property
    def _makes_objects(self) -> bool:
        return any(_is_free(field.type) for field in inspect_fields(self.struct))

    def with_rules(self, rules: Mapping[str, Rule]) -> "Validator[T]":
        """Return this validator with further rules, each in place of the field's rule here."""
        return Validator(self.struct, {**self._rules, **rules}, self._refusals, lenient=self._lenient)

    def from_json(self, body: bytes | msgspec.Raw) -> T:
        """Return the struct in a JSON body."""
        try:
            if self._makes_objects:
                refuse_many_containers(bytes(body))
            return self._decode_whole(body) or self._gather(self._split(body), _decode_field)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse_malformed(error, body)

    def _decode_whole(self, body: bytes | msgspec.Raw) -> T | None:
        """Return the struct, or None if any field is invalid."""
        try:
            value = self._decoder.decode(body)
        except msgspec.ValidationError:
            return None
        for name, rule in self._rules.items():
            given = getattr(value, name)
            if given is not None and given is not msgspec.UNSET and any(True for _ in rule(given)):
                return None
        return value

    def from_query(self, query: bytes) -> T:
        """Return the struct in a query string, converting text to numbers."""
        if not query:
            return self._defaults or self._gather({}, _convert_text)
        known = self._queries.get(query)
        if known is None:
            known = self._read_query(query)
            if self.struct.__struct_config__.frozen and len(query) <= _SHORT_QUERY:
                if len(self._queries) >= _MOST_QUERIES:
                    self._queries.clear()
                self._queries[query] = known
        return known

    def _read_query(self, query: bytes) -> T:
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
        text = bytes(body)
        try:
            text.decode()  # unknown fields are not decoded below
            if text.count(b":") > _MOST_FIELDS:
                return self._split_known(text)
            return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            _refuse_other_than_object(body)

    def _split_known(self, text: bytes) -> dict[str, msgspec.Raw]:
        """Return the known fields of a body with very many, and the first unknown one."""
        fields = [(name, msgspec.Raw, msgspec.Raw()) for name in self._fields]
        known = msgspec.json.decode(text, type=_struct_of(fields, strict=False))
        found = {
            name: raw for name, raw in zip(self._fields, msgspec.structs.astuple(known), strict=True) if raw
        }
        try:
            msgspec.json.decode(text, type=_struct_of(fields, strict=True))
        except msgspec.ValidationError as error:
            unknown = _UNKNOWN_FIELD.match(str(error))
            if unknown is not None:
                found[unknown[1]] = msgspec.Raw()
        return found

    def _gather(self, given: Mapping[str, V], read: Callable[[V, Any], object]) -> T:
        problems = Problems()
        values: dict[str, object] = {}
        for name in () if self._lenient else given.keys() - self._fields.keys():
            problems.add(name[:_LONGEST_NAME], self._refusals.get(name, _UNKNOWN))
            if problems.full:
                break
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
        return self.struct(**values)

    def _apply_rule(self, field: str, name: str, value: object, problems: "Problems") -> None:
        rule = self._rules.get(field)
        if rule is not None and value is not None:
            for where, message in islice(rule(value), _MOST_PROBLEMS):
                problems.add_below(name, where, message)
                if problems.full:
                    break


class Problems:
    """The messages about a request by field, up to a bounded number of fields."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def add(self, field: str, message: str) -> None:
        if field in self._fields or len(self._fields) < _MOST_PROBLEMS:
            self._fields.setdefault(field, []).append(message)

    @property
    def full(self) -> bool:
        """Whether no further field is reported."""
        return len(self._fields) >= _MOST_PROBLEMS

    def add_below(self, field: str, where: str, message: str) -> None:
        self.add(f"{field}.{where}" if where else field, message)

    def raise_if_any(self) -> None:
        if self._fields:
            raise InvalidError(self._fields)


def refuse_many_containers(body: bytes) -> None:
    """Raise InvalidError for a body with more lists and objects than can be made objects of.

    Raises msgspec.DecodeError if it is not JSON, or nests too deeply to be read.
    """
    if count_containers(body) > MOST_CONTAINERS:
        msgspec.json.decode(body, type=msgspec.Raw)
        raise InvalidError({"body": [f"Must have at most {MOST_CONTAINERS} lists and objects."]})


def _is_free(kind: inspect.Type) -> bool:
    """Return whether values of a type may have any depth, so that objects are made of whatever is given."""
    if isinstance(kind, inspect.StructType):
        return any(_is_free(field.type) for field in kind.fields)
    parts = (
        getattr(kind, "key_type", None),
        getattr(kind, "value_type", None),
        getattr(kind, "item_type", None),
        getattr(kind, "type", None),
        *getattr(kind, "types", ()),
        *getattr(kind, "item_types", ()),
    )
    return isinstance(kind, inspect.AnyType) or any(part is not None and _is_free(part) for part in parts)


def _struct_of(fields: Sequence[tuple[str, Any, Any]], *, strict: bool) -> type[msgspec.Struct]:
    """Return a struct with these fields, whose names need not be identifiers."""
    named = [(f"field_{index}", kind, default) for index, (_, kind, default) in enumerate(fields)]
    names = {f"field_{index}": name for index, (name, _, _) in enumerate(fields)}
    return msgspec.defstruct("Parts", named, forbid_unknown_fields=strict, rename=names)


def _refuse_malformed(error: Exception, body: bytes | msgspec.Raw) -> NoReturn:
    """Raise the error for a body that is not JSON."""
    half = first_half(bytes(body).decode(errors="replace")) if len(bytes(body)) <= _SEARCHED_BYTES else None
    if half is not None:
        reason = f"it has half of a surrogate pair, {half}, as of a text that was cut within a character"
    elif isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8"
    else:
        reason = str(error)
    raise MalformedError(f"The body cannot be read as JSON: {reason}.") from None


def _refuse_other_than_object(body: bytes | msgspec.Raw) -> NoReturn:
    """Raise the error for JSON that is not an object, or for text that is not JSON."""
    msgspec.json.decode(body, type=msgspec.Raw)
    raise InvalidError({"body": ["Must be a JSON object."]})


def _decode_field(raw: msgspec.Raw, kind: Any) -> object:  # noqa: ANN401  a type expression has no type
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        whole = _WHOLE.fullmatch(bytes(raw).strip())
        if whole is None:
            raise
        return msgspec.json.decode(whole[1], type=kind)


def _convert_text(text: str, kind: Any) -> object:  # noqa: ANN401  a type expression has no type
    try:
        # an unescaped plus sign of a UTC offset was decoded to a space
        return msgspec.convert(_LOST_PLUS.sub(r"\1+\2", text), kind)
    except msgspec.ValidationError as strict:
        value = msgspec.convert(text, kind, strict=False)
        if isinstance(value, datetime):  # a bare number is not a date
            raise strict from None
        return value
