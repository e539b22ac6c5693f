"""Derive structs from other structs, so that a field is declared once."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, inspect


def set_fields(struct: msgspec.Struct) -> dict[str, Any]:
    """Return the values of a struct by field name, without those that are UNSET."""
    values = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


@cache
def inspect_fields(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """Return the fields of a struct with their types."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)  # noqa: S101  it is the type of a struct
    return info.fields


def plain_type(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return a type without its annotations and without None, and the contents of the annotations."""
    notes: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            notes |= (kind.extra_json_schema or {}) | (kind.extra or {})
            kind = kind.type
        else:
            [kind] = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    return kind, notes


def patch_type(
    name: str,
    base: type[msgspec.Struct],
    doc: str,
    *,
    without: Collection[str] = (),
    added: Mapping[str, Any] | None = None,
) -> type[msgspec.Struct]:
    """Return a struct type with the fields of `base`, each of which is UNSET unless given.

    `without` names fields that cannot be changed; `added` has the types of further fields.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(base) if field.name not in without}
    fields = [(field, kind | UnsetType, UNSET) for field, kind in (types | dict(added or {})).items()]
    strict = base.__struct_config__.forbid_unknown_fields
    derived = msgspec.defstruct(name, fields, frozen=True, kw_only=True, forbid_unknown_fields=strict)
    derived.__doc__ = doc
    return derived
