"""A patch has the fields of what it changes, with their types, and each may be left out."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType, inspect

from runwright.core.struct_fields import inspect_fields, patch_type, plain_type, set_fields


class Room(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that can be created."""

    name: Annotated[str, Meta(min_length=2)]
    chairs: Annotated[
        Annotated[int, Meta(ge=1, extra={"unit": "chairs"})] | None, Meta(description="How many.")
    ]
    doors: int = 1


class Open(msgspec.Struct):
    """Something that accepts unknown fields."""

    name: str = "hall"


class Holder(msgspec.Struct):
    """Something with fields that may be unset."""

    first: int | UnsetType = UNSET
    second: int | None | UnsetType = UNSET


def test_fields_that_are_unset_are_left_out_and_null_is_not() -> None:
    assert set_fields(Holder()) == {}
    assert set_fields(Holder(second=None)) == {"second": None}
    assert set_fields(Holder(first=0, second=2)) == {"first": 0, "second": 2}


def test_a_type_is_found_under_its_annotations_and_beside_none() -> None:
    name, chairs, doors = (plain_type(field.type) for field in inspect_fields(Room))
    assert isinstance(name[0], inspect.StrType)
    assert (name[0].min_length, name[1]) == (2, {})
    assert isinstance(chairs[0], inspect.IntType)
    assert (chairs[0].ge, chairs[1]) == (1, {"description": "How many.", "unit": "chairs"})
    assert isinstance(doors[0], inspect.IntType)
    assert doors[1] == {}


def patch(base: type[msgspec.Struct], **options: Any) -> type[msgspec.Struct]:  # noqa: ANN401  as patch_type
    return patch_type("Change", base, "A change.", **options)


def test_a_patch_may_leave_every_field_out() -> None:
    kind = patch(Room)
    assert (kind.__name__, kind.__doc__) == ("Change", "A change.")
    assert set_fields(msgspec.json.decode(b"{}", type=kind)) == {}
    given = b'{"name": "hall", "chairs": null, "doors": 2}'
    assert set_fields(msgspec.json.decode(given, type=kind)) == {"name": "hall", "chairs": None, "doors": 2}


@pytest.mark.parametrize("given", [b'{"name": "h"}', b'{"chairs": 0}', b'{"doors": null}', b'{"windows": 1}'])
def test_a_patch_is_as_strict_as_what_it_changes(given: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(given, type=patch(Room))


def test_a_patch_of_what_accepts_unknown_fields_does_so_too() -> None:
    assert set_fields(msgspec.json.decode(b'{"windows": 1}', type=patch(Open))) == {}


def test_a_patch_has_other_fields_where_they_are_named() -> None:
    kind = patch(Room, without=["doors"], added={"lamps": int})
    assert kind.__struct_fields__ == ("name", "chairs", "lamps")
    assert set_fields(msgspec.json.decode(b'{"lamps": 3}', type=kind)) == {"lamps": 3}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"doors": 2}', type=kind)


def test_a_patch_does_not_change_once_it_is_made() -> None:
    change = msgspec.json.decode(b'{"doors": 2}', type=patch(Room))
    with pytest.raises(AttributeError):
        change.doors = 3  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        patch(Room)("hall")
