"""Input schemas: what is accepted has a bounded cost, and what is wrong with an input is named by its path."""

from typing import Any

import msgspec
import pytest

from runwright.core import input_schema
from runwright.core.input_schema import (
    MOST_PROBLEMS,
    CompiledSchema,
    InputsTooCostlyError,
    check_inputs,
    count_values,
)
from runwright.core.schema_rules import MOST_WEIGHT, JsonSchemaError, measure_schema

DOUBLING: dict[str, Any] = {
    "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(24)}
    | {"a24": {"type": "integer"}},
    "$ref": "#/$defs/a0",
}
CHAIN: dict[str, Any] = {
    "$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(500)} | {"a500": True}
}
ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"$ref": "#/$defs/customer"},
        "lines": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
        "speed": {"enum": ["slow", "fast"]},
        "note": {"type": ["string", "null"], "pattern": "^[a-z]+$"},
    },
    "required": ["customer"],
    "additionalProperties": False,
    "$defs": {
        "customer": {"type": "object", "required": ["email"], "properties": {"email": {"format": "email"}}}
    },
}


def problems_of(schema: dict[str, Any], value: object) -> dict[str, str]:
    return dict(CompiledSchema(schema).problems(msgspec.json.encode(value)))


def test_a_valid_input_has_no_problems() -> None:
    value = {"customer": {"email": "a@example.org"}, "lines": [1, 2], "speed": "fast", "note": None}
    assert problems_of(ORDER, value) == {}
    assert CompiledSchema(ORDER).accepts(msgspec.json.encode(value))


def test_what_is_wrong_is_named_by_its_path_in_our_words() -> None:
    value = {"customer": {"email": "x"}, "lines": [1, 0, "2", 3], "speed": "warp", "note": "A", "more": 1}
    assert problems_of(ORDER, value) == {
        "customer.email": "Must have the format email.",
        "lines": "Must have at most 3 items.",
        "lines.1": "Must be at least 1.",
        "lines.2": "Must be a whole number.",
        "speed": 'Must be one of: "slow", "fast".',
        "note": 'Must match "^[a-z]+$".',
        "more": "Is not a known field.",
    }
    assert problems_of(ORDER, {}) == {"customer": "Is required."}
    assert problems_of(ORDER, {"customer": {}}) == {"customer.email": "Is required."}


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        ({"type": "strin"}, "type", "JSON Schema"),
        ({"required": "x"}, "required", "JSON Schema"),
        ({"properties": {"a": {"pattern": "("}}}, "properties.a.pattern", "regular expression"),
        ({"pattern": "(?=a)b"}, "pattern", "look-around"),
        ({"pattern": r"(a)\1"}, "pattern", "back references"),
        ({"pattern": "(a{1000}){1000}"}, "pattern", "too large"),
        ({"patternProperties": {"(?!x)": True}}, "patternProperties.(?!x)", "look-around"),
        ({"$ref": "https://example.org/schema"}, "$ref", "definition of this schema"),
        ({"$ref": "file:///etc/passwd"}, "$ref", "definition of this schema"),
        ({"$ref": "#"}, "$ref", "definition of this schema"),
        ({"$ref": "#/properties/a", "properties": {"a": True}}, "$ref", "definition of this schema"),
        ({"$id": "https://example.org/"}, "$id", "supported"),
        ({"$dynamicRef": "#a"}, "$dynamicRef", "supported"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties", "supported"),
        ({"$schema": "https://example.org/"}, "$schema", "2020-12"),
        ({"properties": {"a": {"$defs": {}}}}, "properties.a.$defs", "top"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "$defs.a.items.$ref", "itself"),
        ({"properties": [1]}, "properties", "JSON object"),
        ({"allOf": {}}, "allOf", "list"),
        ({"items": 3}, "items", "object or a boolean"),
        ({"enum": list(range(MOST_WEIGHT + 1))}, "", "keywords and values"),
        ({"description": "x" * 40_000}, "", "bytes"),
        ({"anyOf": [{"pattern": "a"}] * 51}, "", "patterns"),
        (DOUBLING, "", "keywords and values"),
        (CHAIN, "$defs.a99", "levels"),
    ],
    ids=lambda one: None if isinstance(one, dict) else str(one)[:30],
)
def test_a_schema_that_cannot_be_bounded_or_read_is_refused_by_path(
    schema: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(JsonSchemaError) as refused:
        CompiledSchema(schema)
    assert refused.value.path == path
    assert words in refused.value.message


def test_a_schema_of_an_older_draft_is_read_by_its_rules() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {
            "pair": {"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False}
        },
        "properties": {"a": {"$ref": "#/definitions/pair"}},
    }
    assert problems_of(schema, {"a": ["x", 1]}) == {}
    assert problems_of(schema, {"a": ["x", "y"]}).keys() == {"a.1"}


def test_annotations_and_unknown_formats_are_accepted_and_not_checked() -> None:
    schema = {"title": "T", "x-order": 3, "properties": {"a": {"format": "path"}, "b": {"format": "regex"}}}
    assert problems_of(schema, {"a": 1, "b": "("}) == {}


def test_references_count_as_often_as_they_are_used() -> None:
    used = {
        "$defs": {"a": {"enum": list(range(100))}},
        "properties": {str(n): {"$ref": "#/$defs/a"} for n in range(5)},
    }
    assert 500 < measure_schema(used).weight < 520


def test_many_problems_are_cut_and_a_large_input_has_its_first_one() -> None:
    schema = {"properties": {"l": {"items": {"type": "string"}}}}
    few = CompiledSchema(schema).problems(msgspec.json.encode({"l": list(range(200))}))
    assert len(few) == MOST_PROBLEMS
    many = CompiledSchema(schema).problems(msgspec.json.encode({"l": list(range(100_000))}))
    assert many == [("l.0", "Must be a string.")]


def test_inputs_that_would_take_too_long_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = CompiledSchema({"properties": {"l": {"items": {"allOf": [{"type": "integer"}] * 100}}}})
    text = msgspec.json.encode({"l": [1] * 100})
    assert check_inputs(schema, [text]) == [()]
    monkeypatch.setattr(input_schema, "MOST_COST", 2 * schema.cost(text) - 1)
    with pytest.raises(InputsTooCostlyError):
        check_inputs(schema, [text] * 2)


def test_values_are_counted_from_above() -> None:
    for value, least in (({}, 1), ({"a": 1}, 2), ([1, 2, [3]], 5), ({"a": "x" * 640}, 11)):
        assert count_values(msgspec.json.encode(value)) >= least


def test_keywords_that_compute_cost_more_than_others() -> None:
    plain = CompiledSchema({"properties": {"a": {"minimum": 1}}})
    for schema in ({"multipleOf": 0.01}, {"uniqueItems": True}):
        computing = CompiledSchema({"$defs": {"d": schema}, "properties": {"a": {"$ref": "#/$defs/d"}}})
        assert computing.cost(b'{"a":1}') > 4 * plain.cost(b'{"a":1}')
        assert not computing.computes_with_large_numbers(b'{"a":123456789.25}')
        for number in (b"18446744073709551616", b"-9223372036854775809", b"1e300", b"1.5E-300", b"5.e7"):
            assert computing.computes_with_large_numbers(b'{"a":%b}' % number)
            assert not plain.computes_with_large_numbers(b'{"a":%b}' % number)


def test_patterns_cost_the_more_the_larger_they_are_and_the_oftener_they_are_referred_to() -> None:
    one = CompiledSchema({"properties": {"a": {"pattern": "^a+$"}}}, 1_000)
    larger = CompiledSchema({"properties": {"a": {"pattern": "^a+$"}}}, 10_000)
    definition = {"a": {"patternProperties": {"a": True, "b": True}}}
    referred = CompiledSchema({"$defs": definition, "allOf": [{"$ref": "#/$defs/a"}] * 3}, 1_000)
    text = b'{"a":"aaa"}'
    assert larger.pattern_nanoseconds(text) == 10 * one.pattern_nanoseconds(text)
    assert referred.pattern_nanoseconds(text) == 6 * one.pattern_nanoseconds(text)
    assert CompiledSchema({"type": "object"}).pattern_nanoseconds(text) == 0
    with pytest.raises(JsonSchemaError, match="not too large"):
        CompiledSchema({"pattern": "a{1000}"}, 1_000)
