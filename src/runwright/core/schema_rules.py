"""Which JSON Schemas are accepted, so that checking an input by one has a bounded cost.

A schema has the keywords of an allow list, refers only to its own definitions and never to itself, and stays
small when each reference is replaced by what it refers to: that size is its *weight*. Its *price* is the
weight with those keywords counted as many that take longer than others; the cost of a check is at most the
price for each value of the input. Patterns are apart: their time follows the bytes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from runwright.core.json_depth import nests_too_deeply

MOST_BYTES: Final = 32 * 1024
MOST_LEVELS: Final = 32
MOST_WEIGHT: Final = 2_000
MOST_PATTERNS: Final = 50
DRAFTS: Final = {
    "https://json-schema.org/draft/2020-12/schema": 2020,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "http://json-schema.org/draft-07/schema": 7,
}
"""The drafts that `$schema` may name; without it a schema is of the first."""

_MOST_DEPTH: Final = 100
_ONE: Final = frozenset(
    {
        *("items", "additionalItems", "additionalProperties", "contains", "propertyNames"),
        *("not", "if", "then", "else"),
    }
)
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_PLAIN: Final = frozenset(
    {
        *("type", "enum", "const", "required", "minProperties", "maxProperties", "minItems", "maxItems"),
        *("uniqueItems", "minContains", "maxContains", "minimum", "maximum", "exclusiveMinimum"),
        *("exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format"),
        *("dependentRequired", "title", "description", "default", "examples", "deprecated", "readOnly"),
        *("writeOnly", "$comment"),
    }
)
_KNOWN: Final = _ONE | _LISTS | _MAPS | _DEFINITIONS | _PLAIN


class JsonSchemaError(Exception):
    """A schema is refused: where, as a path of keywords, and why, as a sentence."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


_PRICES: Final = {"multipleOf": 300, "uniqueItems": 20}
"""The keywords that compute, as exactly as their numbers need, and how many others each takes the time of."""


class SchemaSize(msgspec.Struct, frozen=True):
    """How costly a schema or a part of one is, with each reference replaced by what it refers to."""

    weight: int = 0
    price: int = 0
    patterns: int = 0

    def __add__(self, other: "SchemaSize") -> "SchemaSize":
        return SchemaSize(
            self.weight + other.weight, self.price + other.price, self.patterns + other.patterns
        )

    @property
    def computes(self) -> bool:
        """Whether it computes with the numbers of an input, which takes the longer the larger they are."""
        return self.price > self.weight


_ONE_VALUE: Final = SchemaSize(1, 1)


def measure_schema(schema: Mapping[str, Any]) -> SchemaSize:
    """Return the size of a schema. Raises JsonSchemaError where it is not one that is accepted."""
    encoded = msgspec.json.encode(schema)
    if len(encoded) > MOST_BYTES:
        raise JsonSchemaError("", f"Must have at most {MOST_BYTES} bytes as JSON.")
    if nests_too_deeply(encoded, MOST_LEVELS):
        raise JsonSchemaError("", f"Must not be nested more than {MOST_LEVELS} levels deep.")
    declared = schema.get("$schema")
    if declared is not None and str(declared).rstrip("#") not in DRAFTS:
        raise JsonSchemaError("$schema", f"Must be one of: {', '.join(DRAFTS)}.")
    meter = _Meter(schema)
    size = meter.weigh({key: value for key, value in schema.items() if key != "$schema"}, "", 1)
    if meter.patterns > MOST_PATTERNS:
        raise JsonSchemaError("", f"Must have at most {MOST_PATTERNS} patterns.")
    return size


class _Meter:
    """Walks a schema, and each of its definitions once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.patterns = 0
        """The patterns that are written in the schema, however often they are referred to."""
        self._definitions = {
            f"#/{group}/{name}": body
            for group in _DEFINITIONS
            if isinstance(schema.get(group), dict)
            for name, body in schema[group].items()
        }
        self._sizes: dict[str, SchemaSize | None] = {}

    def weigh(self, schema: object, path: str, depth: int) -> SchemaSize:
        """Return the size of a subschema at a depth, with those that it refers to."""
        if isinstance(schema, bool):
            return _ONE_VALUE
        if not isinstance(schema, dict):
            raise JsonSchemaError(path, "Must be a JSON object or a boolean.")
        if depth > _MOST_DEPTH:
            raise JsonSchemaError(
                path, f"Must not be more than {_MOST_DEPTH} levels deep, with its references."
            )
        size = _ONE_VALUE
        for keyword, value in schema.items():
            size += self._weigh_keyword(keyword, value, f"{path}.{keyword}" if path else keyword, depth)
            if size.weight > MOST_WEIGHT:
                raise JsonSchemaError(
                    "", f"Must have at most {MOST_WEIGHT} keywords and values, with its references."
                )
        return size

    def _weigh_keyword(self, keyword: str, value: object, path: str, depth: int) -> SchemaSize:
        if keyword == "$ref":
            return self._weigh_reference(value, path, depth)
        if keyword.startswith("x-"):
            return SchemaSize()
        if keyword not in _KNOWN:
            raise JsonSchemaError(path[:200], "Is not a supported keyword.")
        patterns = _patterns_in(keyword, value)
        self.patterns += patterns
        if keyword in _DEFINITIONS:
            return self._weigh_definitions(value, path, depth)
        if keyword in _PLAIN:
            weight = len(value) if isinstance(value, list | dict) else 1
            return SchemaSize(weight, _PRICES.get(keyword, weight), patterns)
        parts = (self.weigh(part, where, depth + 1) for part, where in _parts(keyword, value, path))
        return sum(parts, SchemaSize(patterns=patterns))

    def _weigh_definitions(self, value: object, path: str, depth: int) -> SchemaSize:
        if depth > 1 or not isinstance(value, dict):
            raise JsonSchemaError(path, "Must be a JSON object at the top of the schema.")
        for name in value:
            self._weigh_reference(f"#/{path}/{name}", f"{path}.{name}", depth)
        return SchemaSize()

    def _weigh_reference(self, reference: object, path: str, depth: int) -> SchemaSize:
        if not isinstance(reference, str) or reference not in self._definitions:
            raise JsonSchemaError(path, "Must refer to a definition of this schema, such as #/$defs/name.")
        if reference in self._sizes:
            known = self._sizes[reference]
            if known is None:
                raise JsonSchemaError(path, "Must not refer to itself.")
            return known
        self._sizes[reference] = None
        size = self.weigh(self._definitions[reference], reference[2:].replace("/", "."), depth + 1)
        self._sizes[reference] = size
        return size


def _patterns_in(keyword: str, value: object) -> int:
    """Return how many patterns a keyword has itself."""
    if keyword == "patternProperties" and isinstance(value, dict):
        return len(value)
    return int(keyword == "pattern")


def _parts(keyword: str, value: object, path: str) -> Iterator[tuple[object, str]]:
    """Yield the subschemas in the value of a keyword, with their paths."""
    if keyword in _MAPS:
        if not isinstance(value, dict):
            raise JsonSchemaError(path, "Must be a JSON object.")
        for name, part in value.items():
            if keyword == "dependencies" and isinstance(part, list):
                yield True, path
            else:
                yield part, f"{path}.{name[:100]}"
    elif keyword in _LISTS and isinstance(value, list):
        for index, part in enumerate(value):
            yield part, f"{path}.{index}"
    elif keyword in _ONE:
        yield value, path
    else:
        raise JsonSchemaError(path, "Must be a list of schemas.")
