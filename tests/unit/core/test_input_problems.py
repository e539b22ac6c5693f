"""What is wrong with an input, in whole sentences, and how much of it is described."""

from typing import Any

import msgspec
import pytest

from runwright.core import input_schema
from runwright.core.input_schema import CompiledSchema, check_inputs, compiled_schema, count_values

LONG = "x" * 300


def problems_of(schema: dict[str, Any], value: object) -> list[tuple[str, str]]:
    return list(CompiledSchema(schema).problems(msgspec.json.encode(value)))


@pytest.mark.parametrize(
    ("rule", "value", "sentence"),
    [
        ({"type": ["string", "null"]}, 1, "Must be null or a string."),
        ({"type": "boolean"}, 1, "Must be true or false."),
        ({"const": "a"}, "b", 'Must be "a".'),
        ({"enum": list(range(20))}, "a", f"Must be one of: {', '.join(map(str, range(20)))}."),
        ({"enum": list(range(21))}, "a", f"Must be one of: {', '.join(map(str, range(20)))}, …."),
        ({"const": LONG}, "b", f'Must be "{LONG[:199]}….'),
        ({"const": LONG[:198]}, "b", f'Must be "{LONG[:198]}".'),
        ({"minimum": 2}, 1, "Must be at least 2."),
        ({"exclusiveMaximum": 2}, 2, "Must be less than 2."),
        ({"multipleOf": 2}, 3, "Must be a multiple of 2."),
        ({"minLength": 2}, "a", "Must have at least 2 characters."),
        ({"uniqueItems": True}, [1, 1], "Must not hold an item twice."),
        ({"contains": {"type": "null"}}, [1], "Must hold an item of the kind that the schema names."),
        ({"not": {"type": "string"}}, "a", "Is of a kind that is not permitted."),
        ({"oneOf": [True, True]}, 1, "Must be of exactly one of the permitted kinds."),
        ({"if": True, "then": False}, 1, "Is not permitted."),
        (
            {"minContains": 2, "contains": {"type": "null"}},
            [None],
            "Must hold an item of the kind that the schema names.",
        ),
    ],
    ids=lambda one: str(one)[:30],
)
def test_each_rule_has_its_sentence(rule: dict[str, Any], value: object, sentence: str) -> None:
    assert problems_of({"properties": {"a": rule}}, {"a": value}) == [("a", sentence)]


def test_long_names_are_cut_in_paths() -> None:
    schema = {"properties": {LONG: {"properties": {"z": True}, "additionalProperties": False}}}
    assert dict(problems_of(schema, {LONG: {LONG: 1, "y" * 300: 2}})) == {
        f"{LONG[:100]}.{'x' * 100}": "Is not a known field.",
        f"{LONG[:100]}.{'y' * 100}": "Is not a known field.",
    }


def test_the_whole_input_has_no_path() -> None:
    assert problems_of({"maxProperties": 0}, {"a": 1}) == [("", "Must have at most 0 fields.")]


@pytest.mark.parametrize(
    ("text", "count"),
    [(b"{}", 2), (b'{"a": 1}', 3), (b'{"a": [1, {"b": 2}]}', 7), (b'{"a": "%b"}' % (b"x" * 631), 13)],
)
def test_values_are_counted_by_what_separates_them_and_by_length(text: bytes, count: int) -> None:
    assert count_values(text) == count


def test_all_problems_are_described_up_to_a_cost_and_beyond_it_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema, text = CompiledSchema({"additionalProperties": {"type": "null"}}), b'{"a": 1, "b": 2}'
    monkeypatch.setattr(input_schema, "DESCRIBED_COST", schema.cost(text))
    assert [path for path, _ in schema.problems(text)] == ["a", "b"]
    monkeypatch.setattr(input_schema, "DESCRIBED_COST", schema.cost(text) - 1)
    assert [path for path, _ in schema.problems(text)] == ["a"]
    assert schema.first_problem(text) == ("a", "Must be null.")
    with pytest.raises(ValueError, match="is valid"):
        schema.first_problem(b"{}")


def test_inputs_may_cost_as_much_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    schema, text = CompiledSchema({"type": "object"}), b'{"a": 1}'
    monkeypatch.setattr(input_schema, "MOST_COST", 2 * schema.cost(text))
    assert check_inputs(schema, [text, text]) == [(), ()]


def test_a_schema_that_is_stored_is_compiled_once() -> None:
    assert compiled_schema(b'{"type": "object"}') is compiled_schema(b'{"type": "object"}')


def test_a_field_that_another_one_needs_is_required_at_its_place() -> None:
    schema = {"properties": {"a": {"dependentRequired": {"b": ["c"]}}}}
    assert problems_of(schema, {"a": {"b": 1}}) == [("a.c", "Is required.")]
