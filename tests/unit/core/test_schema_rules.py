"""The limits of schemas are exact, and each part of a schema has its weight."""

from typing import Any

import msgspec
import pytest

from runwright.core.schema_rules import MOST_BYTES, MOST_LEVELS, MOST_WEIGHT, JsonSchemaError, measure_schema


@pytest.mark.parametrize(
    ("schema", "weight"),
    [
        ({}, 1),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, 1),
        ({"type": "string"}, 2),
        ({"enum": [1, 2, 3]}, 4),
        ({"const": {"a": 1, "b": 2}}, 3),
        ({"x-order": 3}, 1),
        ({"items": True}, 2),
        ({"items": [True, {"type": "null"}]}, 4),
        ({"not": {"type": "null"}}, 3),
        ({"allOf": [True, False]}, 3),
        ({"properties": {"a": True, "b": {"type": "null"}}}, 4),
        ({"dependencies": {"a": ["b"], "c": {"type": "null"}}}, 4),
        ({"$defs": {"a": {"enum": [1, 2]}}}, 1),
        ({"$defs": {"a": {"enum": [1, 2]}}, "$ref": "#/$defs/a"}, 4),
        ({"definitions": {"a": True}, "properties": {"x": {"$ref": "#/definitions/a"}}}, 3),
    ],
    ids=lambda one: str(one)[:40],
)
def test_each_keyword_and_value_has_its_weight(schema: dict[str, Any], weight: int) -> None:
    assert measure_schema(schema).weight == weight


def at_most(most: int) -> dict[str, Any]:
    """A schema of so many bytes."""
    empty = len(msgspec.json.encode({"title": ""}))
    return {"title": "x" * (most - empty)}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


def chain(references: int) -> dict[str, Any]:
    """A schema whose first definition leads to the last one by so many references."""
    bodies = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(references)}
    return {"$defs": bodies | {f"a{references}": {}}}


@pytest.mark.parametrize(
    ("allowed", "refused", "words"),
    [
        (at_most(MOST_BYTES), at_most(MOST_BYTES + 1), "bytes as JSON"),
        (nested(MOST_LEVELS), nested(MOST_LEVELS + 1), "nested more than"),
        ({"enum": [0] * (MOST_WEIGHT - 1)}, {"enum": [0] * MOST_WEIGHT}, "keywords and values"),
        ({"allOf": [{"pattern": "a"}] * 50}, {"allOf": [{"pattern": "a"}] * 51}, "at most 50 patterns"),
        (
            {"patternProperties": {f"a{n}": True for n in range(50)}},
            {"patternProperties": {f"a{n}": True for n in range(51)}},
            "at most 50 patterns",
        ),
        (chain(98), chain(99), "levels deep, with its references"),
    ],
    ids=["bytes", "levels", "weight", "patterns", "pattern properties", "references"],
)
def test_a_limit_is_the_most_that_is_allowed(
    allowed: dict[str, Any], refused: dict[str, Any], words: str
) -> None:
    measure_schema(allowed)
    with pytest.raises(JsonSchemaError, match=words):
        measure_schema(refused)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"x" * 300: 1}, "x" * 200),
        ({"properties": {"n" * 150: {"nope": 1}}}, f"properties.{'n' * 100}.nope"),
        ({"anyOf": [True, {"nope": 1}]}, "anyOf.1.nope"),
        ({"dependencies": {"a": ["b"], "c": 1}}, "dependencies.c"),
        ({"$defs": [1]}, "$defs"),
        ({"$defs": {"a": {"nope": 1}}}, "$defs.a.nope"),
        ({"prefixItems": {}}, "prefixItems"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_a_refusal_names_the_place_and_cuts_what_is_long(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(JsonSchemaError) as refused:
        measure_schema(schema)
    assert refused.value.path == path
