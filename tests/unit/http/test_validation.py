"""Bodies with very many fields are refused without looking at each."""

from collections.abc import Iterator

import msgspec
import pytest

from runwright.core.errors import InvalidError, MalformedError
from runwright.http.validation import Problem, Validator


class Body(msgspec.Struct, forbid_unknown_fields=True, rename={"value": "a-value"}):
    name: str
    value: int = 0
    items: list[int] = []


class LenientBody(msgspec.Struct):
    name: str
    value: int = 0


def fields_of(validator: Validator[Body], body: bytes) -> dict[str, list[str]]:
    with pytest.raises(InvalidError) as refused:
        validator.from_json(body)
    return {name: list(messages) for name, messages in refused.value.fields.items()}


def many(count: int) -> bytes:
    return b",".join(b'"key %d": 0' % number for number in range(count))


def test_of_few_unknown_fields_each_is_reported() -> None:
    assert set(fields_of(Validator(Body), b'{"x": 1, "y": 2}')) == {"x", "y", "name"}


def test_of_many_unknown_fields_a_bounded_number_is_reported() -> None:
    assert len(fields_of(Validator(Body), b"{" + many(1500) + b"}")) == 100


def test_of_very_many_only_the_first_is_reported_and_known_ones_as_ever() -> None:
    body = b'{"a-value": "x", ' + many(150_000) + b"}"
    assert set(fields_of(Validator(Body), body)) == {"key 0", "name", "a-value"}
    body = b'{"name": "n", ' + many(3000) + b"}"
    assert set(fields_of(Validator(Body), body)) == {"key 0"}


def test_a_large_body_without_unknown_fields_is_read_or_refused_by_field() -> None:
    nested = b'{"name": "' + b":" * 3000 + b'", "items": [1, 2]'
    assert Validator(Body).from_json(nested + b"}").items == [1, 2]
    assert set(fields_of(Validator(Body), nested + b', "a-value": null}')) == {"a-value"}
    refused = fields_of(Validator(Body, refusals={"id": "Is read-only."}), nested + b', "id": 1}')
    assert refused == {"id": ["Is read-only."]}


def test_a_lenient_body_may_have_very_many_fields() -> None:
    body = b'{"name": 1, ' + many(3000) + b"}"
    with pytest.raises(InvalidError) as refused:
        Validator(LenientBody, lenient=True).from_json(body)
    assert set(refused.value.fields) == {"name"}


def test_a_rule_with_very_many_problems_is_stopped() -> None:
    yielded = 0

    def object_lazily(items: list[int]) -> Iterator[Problem]:
        nonlocal yielded
        for index in range(len(items)):
            yielded += 1
            yield str(index), "Is wrong."

    body = b'{"name": "n", "items": [' + b",".join([b"1"] * 100_000) + b"]}"
    assert len(fields_of(Validator(Body, {"items": object_lazily}), body)) == 100
    assert yielded < 300


def test_an_integer_may_be_written_with_a_fraction_of_zero_as_json_schema_has_it() -> None:
    assert Validator(Body).from_json(b'{"name": "n", "a-value": -41042.0}').value == -41042
    for other in (b"1.5", b'"1.0"', b"1.", b"true"):
        with pytest.raises((InvalidError, MalformedError)):
            Validator(Body).from_json(b'{"name": "n", "a-value": %b}' % other)
    assert set(fields_of(Validator(Body), b'{"name": 1.0}')) == {"name"}


@pytest.mark.parametrize("half", [r"\ud83d", r"\ud83d x", r"\udc00", r"\\\ud83d\n"])
def test_half_a_character_is_named_as_what_is_wrong(half: str) -> None:
    with pytest.raises(MalformedError, match="half of a surrogate pair"):
        Validator(Body).from_json(b'{"name": "%b"}' % half.encode())


@pytest.mark.parametrize("whole", [r"\ud83d\ude00", r"\\ud83d", "é"])
def test_a_body_that_ends_early_is_named_as_that_although_it_has_characters_in_escapes(whole: str) -> None:
    with pytest.raises(MalformedError, match="truncated"):
        Validator(Body).from_json(b'{"name": "%b", "value": ' % whole.encode())
