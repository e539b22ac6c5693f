"""Decode JSON objects into structs as Go's `encoding/json` does.

Names match in any case, null counts as absent, unknown names and trailing data are ignored, and a required
field that is missing has the zero value of its type. The structs are those of the OpenAPI document. Texts are
trimmed, unless the field has `VERBATIM`.
"""

import json
from typing import Any, Final, NoReturn, TypeVar

import msgspec
from msgspec import Meta, inspect

from runwright.automations.errors import DefinitionError
from runwright.core.struct_fields import inspect_fields, plain_type
from runwright.core.template_context import Json

S = TypeVar("S", bound=msgspec.Struct)

VERBATIM: Final = Meta(extra={"verbatim": True})
"""Annotation of texts that are not trimmed."""

_INT_LIMIT: Final = 2**63
_DIGITS_OF_64_BITS: Final = 20
_KINDS: Final = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def decode_loosely(body: bytes, kind: type[S], what: str) -> S:
    """Return the struct of the JSON object at the start of a body.

    Raises DefinitionError, with `what` in its message.
    """
    value = _first_value(body, what)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        _refuse(what, f"json: cannot unmarshal {_KINDS[type(value)]} into Go value of type object")
    return _Decoder(what).struct(value, kind, "")


def _first_value(body: bytes, what: str) -> Json:
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        _refuse(what, "EOF")
    try:
        value: Json = _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        reason = "unexpected EOF" if error.pos >= len(text.rstrip()) else f"{error.msg} at {error.pos}"
        _refuse(what, reason)
    except ValueError as error:
        _refuse(what, str(error))
    except RecursionError:
        _refuse(what, "exceeded max depth")
    return value


def _refuse(what: str, reason: str) -> NoReturn:
    raise DefinitionError(f"httpapi: decode {what} request: {reason}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS_OF_64_BITS else float(digits)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_parse_int)


class _Decoder:
    """Converts JSON values to the types of fields."""

    def __init__(self, what: str) -> None:
        self._what = what

    def struct(self, value: dict[str, Json], kind: type[S], path: str) -> S:
        given = {name.lower(): each for name, each in value.items() if each is not None}
        fields: dict[str, Any] = {}
        for field in inspect_fields(kind):
            if field.encode_name in given:
                fields[field.name] = self._value(
                    given[field.encode_name], field.type, path + field.encode_name
                )
            elif field.required:
                fields[field.name] = _zero(field.type)
        return kind(**fields)

    def _value(self, value: Json, kind: inspect.Type, path: str) -> object:  # noqa: PLR0911  one per type
        kind, notes = plain_type(kind)
        match kind, value:
            case inspect.StrType(), str():
                return _storable(value, path) if notes.get("verbatim") else _storable(value, path).strip()
            case inspect.BoolType(), bool():
                return value
            case inspect.IntType(), int() if not isinstance(value, bool) and abs(value) < _INT_LIMIT:
                return value
            case inspect.StructType(), dict():
                return self.struct(value, kind.cls, f"{path}.")
            case inspect.DictType(value_type=inspect.StrType()), dict():
                return self._texts(value, path)
            case inspect.DictType(), dict():
                return value
            case inspect.VarTupleType(), list() if all(isinstance(each, str) for each in value):
                return tuple(_storable(str(each), path).strip() for each in value)
        return self._mismatch(path, value, _go_type(kind))

    def _texts(self, value: dict[str, Json], path: str) -> dict[str, str]:
        for key, text in value.items():
            if text is not None and not isinstance(text, str):
                self._mismatch(f"{path}.{key[:100]}", text, "string")
        return {_storable(key, path): _storable(str(text or ""), path) for key, text in value.items()}

    def _mismatch(self, path: str, value: Json, kind: str) -> NoReturn:
        found = _KINDS[type(value)]
        if found == "number":
            found = f"number {str(value)[:40]}"
        _refuse(self._what, f"json: cannot unmarshal {found} into Go struct field {path} of type {kind}")


def _zero(kind: inspect.Type) -> object:
    if isinstance(kind, inspect.UnionType):
        return None
    return {inspect.StrType: "", inspect.BoolType: False, inspect.IntType: 0}.get(type(plain_type(kind)[0]))


def _go_type(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.VarTupleType):
        return "[]string"
    if isinstance(kind, inspect.DictType):
        return "map[string]string" if isinstance(kind.value_type, inspect.StrType) else "object"
    names: dict[type[inspect.Type], str] = {
        inspect.StrType: "string",
        inspect.BoolType: "bool",
        inspect.IntType: "int",
    }
    return names.get(type(kind), "object")


def _storable(text: str, path: str) -> str:
    """Return a text with lone surrogates replaced, as Go does. PostgreSQL cannot store NUL."""
    if "\0" in text:
        raise DefinitionError(f"{path} must not hold the character NUL")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
