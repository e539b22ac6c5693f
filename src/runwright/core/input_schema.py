"""Checking inputs by a JSON Schema that `schema_rules` accepts; patterns are matched in linear time."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runwright.core.lazy_module import LazyModule
from runwright.core.schema_rules import DRAFTS, JsonSchemaError, measure_schema

if TYPE_CHECKING:
    import jsonschema_rs as engine
else:
    engine = LazyModule("jsonschema_rs")

Problem = tuple[str, str]
"""A path into the input, empty for the input itself, and a sentence."""

MOST_COST: Final = 20_000_000
"""Price of the schema times values of the inputs; takes about half a second."""

DESCRIBED_COST: Final = 5_000
"""Evaluations of which all problems are described, as describing takes longer; of more, the first one."""

MOST_PROBLEMS: Final = 20
_MOST_OPTIONS: Final = 20
_LONGEST_NAME: Final = 100
_LONGEST_LIST: Final = 200
PATTERN_BYTES: Final = 100_000
"""Most memory that a pattern may need, compiled."""

_PATTERN_CACHE_BYTES: Final = 100_000
"""Most memory that a pattern may use while it is matched, and keeps."""

_COMPILED: Final = 32
_LARGE_NUMBER: Final = re.compile(rb"[0-9]{19}|[0-9]\.?[eE][+-]?[0-9]")
_TYPES: Final = {
    2020: "Draft202012Validator",
    2019: "Draft201909Validator",
    7: "Draft7Validator",
}
"""The validators of the library, by draft."""

_UNCHECKED_FORMATS: Final[Mapping[str, Callable[..., bool]]] = dict.fromkeys(
    ("regex", "idn-email", "idn-hostname", "iri", "iri-reference", "uri-template"), lambda _: True
)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class InputsTooCostlyError(Exception):
    """The inputs have too many values for this schema."""


class CompiledSchema:
    """A schema that inputs are checked by. Raises JsonSchemaError where it is not a valid one."""

    def __init__(self, schema: Mapping[str, Any], pattern_bytes: int = PATTERN_BYTES) -> None:
        """`pattern_bytes`: how large each pattern may be."""
        self._size = measure_schema(schema)
        self._pattern_bytes = pattern_bytes
        draft = DRAFTS[str(schema.get("$schema", next(iter(DRAFTS)))).rstrip("#")]
        try:
            self._validator = getattr(engine, _TYPES[draft])(
                dict(schema),
                formats=dict(_UNCHECKED_FORMATS),
                validate_formats=True,
                offline=True,
                pattern_options=engine.RegexOptions(
                    size_limit=pattern_bytes, dfa_size_limit=_PATTERN_CACHE_BYTES
                ),
            )
        except (engine.ValidationError, ValueError) as error:
            raise _refused(error) from None

    def cost(self, text: bytes) -> int:
        """Return the most evaluations that a check of this input takes."""
        return self._size.price * count_values(text)

    def pattern_nanoseconds(self, text: bytes) -> int:
        """Return about how long patterns can take for this input.

        Each byte of the input may take a step in every state of a pattern, which has a few bytes.
        """
        return self._size.patterns * self._pattern_bytes * len(text)

    def computes_with_large_numbers(self, text: bytes) -> bool:
        """Return whether a check may compute with numbers of the input for which that takes long."""
        return self._size.computes and _LARGE_NUMBER.search(text) is not None

    def accepts(self, text: bytes) -> bool:
        """Return whether an input is valid: the JSON text of an object."""
        return bool(self._validator.is_valid(_decode(text)))

    def first_problem(self, text: bytes) -> Problem:
        """Return the first thing that is wrong with an invalid input."""
        try:
            self._validator.validate(_decode(text))
        except engine.ValidationError as error:
            return next(_problems_of(error))
        raise ValueError("the input is valid")

    def problems(self, text: bytes) -> Sequence[Problem]:
        """Return what is wrong with an input."""
        value = _decode(text)
        if self._validator.is_valid(value):
            return ()
        if self.cost(text) > DESCRIBED_COST:
            return [self.first_problem(text)]
        found = (one for error in self._validator.iter_errors(value) for one in _problems_of(error))
        return list(islice(found, MOST_PROBLEMS))


def count_values(text: bytes) -> int:
    """Return how many values and names JSON text has at most."""
    return 1 + text.count(b",") + text.count(b":") + text.count(b"[") + text.count(b"{") + len(text) // 64


@lru_cache(_COMPILED)
def compiled_schema(schema: bytes, pattern_bytes: int = PATTERN_BYTES) -> CompiledSchema:
    """Return a schema that is stored as JSON text."""
    return CompiledSchema(_decode(schema), pattern_bytes)


def check_inputs(schema: CompiledSchema, inputs: Sequence[bytes]) -> list[Sequence[Problem]]:
    """Return the problems of each input. Raises InputsTooCostlyError."""
    if sum(map(schema.cost, inputs)) > MOST_COST:
        raise InputsTooCostlyError
    return [schema.problems(text) for text in inputs]


def _refused(error: Exception) -> JsonSchemaError:
    """Return the error for a schema that its own specification, or the limits of patterns, refuse."""
    if not isinstance(error, engine.ValidationError):
        return JsonSchemaError("", "Is not a valid JSON Schema.")
    path = ".".join(str(part)[:_LONGEST_NAME] for part in error.instance_path)
    if path.rpartition(".")[2] == "pattern" or "patternProperties" in error.instance_path:
        return JsonSchemaError(
            path, "Must be a regular expression without look-around and back references, not too large."
        )
    return JsonSchemaError(path, "Is not what JSON Schema permits here.")


def _problems_of(error: "engine.ValidationError") -> Iterator[Problem]:
    path = [str(part)[:_LONGEST_NAME] for part in error.instance_path]
    kind = error.kind
    if kind.name == "required":
        yield _at(path, str(kind.value)), "Is required."
    elif kind.name in {"additionalProperties", "unevaluatedProperties"}:
        for name in kind.value:
            yield _at(path, str(name)), "Is not a known field."
    else:
        yield _at(path), _MESSAGES.get(kind.name, _other)(kind.value)


def _at(path: Sequence[str], *more: str) -> str:
    return ".".join((*path, *(name[:_LONGEST_NAME] for name in more)))


def _other(_: object) -> str:
    return "Is not what the worker's input schema permits."


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_LIST else f"{text[:_LONGEST_LIST]}…"


def _one_of(options: object) -> str:
    values = options if isinstance(options, list) else [options]
    more = ", …" if len(values) > _MOST_OPTIONS else ""
    return f"Must be one of: {', '.join(map(_shown, values[:_MOST_OPTIONS]))}{more}."


def _types(kinds: object) -> str:
    names = [str(kind) for kind in kinds] if isinstance(kinds, list | tuple) else [str(kinds)]
    words = [_TYPE_WORDS.get(name, name) for name in names]
    return f"Must be {' or '.join(words)}."


_TYPE_WORDS: Final = {
    "object": "a JSON object",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_MESSAGES: Final[Mapping[str, Callable[[Any], str]]] = {
    "type": _types,
    "enum": _one_of,
    "const": lambda value: f"Must be {_shown(value)}.",
    "minimum": lambda limit: f"Must be at least {limit}.",
    "maximum": lambda limit: f"Must be at most {limit}.",
    "exclusiveMinimum": lambda limit: f"Must be more than {limit}.",
    "exclusiveMaximum": lambda limit: f"Must be less than {limit}.",
    "multipleOf": lambda factor: f"Must be a multiple of {factor}.",
    "minLength": lambda limit: f"Must have at least {limit} characters.",
    "maxLength": lambda limit: f"Must have at most {limit} characters.",
    "minItems": lambda limit: f"Must have at least {limit} items.",
    "maxItems": lambda limit: f"Must have at most {limit} items.",
    "minProperties": lambda limit: f"Must have at least {limit} fields.",
    "maxProperties": lambda limit: f"Must have at most {limit} fields.",
    "uniqueItems": lambda _: "Must not hold an item twice.",
    "contains": lambda _: "Must hold an item of the kind that the schema names.",
    "pattern": lambda pattern: f"Must match {_shown(pattern)}.",
    "format": lambda name: f"Must have the format {name}.",
    "anyOf": lambda _: "Is of none of the permitted kinds.",
    "oneOf": lambda _: "Must be of exactly one of the permitted kinds.",
    "not": lambda _: "Is of a kind that is not permitted.",
    "propertyNames": lambda _: "Has a field whose name is not permitted.",
    "falseSchema": lambda _: "Is not permitted.",
}
