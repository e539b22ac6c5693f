"""Convert between definitions, runs and the structs of requests and responses, by field name."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from runwright.automations.model import RunStatus, time_text
from runwright.core.struct_fields import set_fields

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-04-11T12:00:00Z"])]
NextCursor = Annotated[str, Meta(description="Where there are more: `cursor` of the next page.")]

STATUS_NAMES = {status: status.value for status in RunStatus} | {RunStatus.CANCELLED: "canceled"}


def given_fields(body: msgspec.Struct, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields that a body sets; an empty text means the default of `kind`, if there is one."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    return {
        name: defaults[name] if value == "" and isinstance(defaults.get(name), str) else value
        for name, value in set_fields(body).items()
    }


def copied_fields(source: msgspec.Struct, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields of `source` that `kind` has too and that differ from their default there.

    With `omit_defaults`, msgspec compares most values by identity: it omits only those that were not set.
    """
    fields = [field for field in msgspec.structs.fields(kind) if field.name in source.__struct_fields__]
    values = {field.name: getattr(source, field.name) for field in fields}
    return {field.name: values[field.name] for field in fields if values[field.name] != field.default}


def shown_fields(source: msgspec.Struct, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields of `source` that `kind` has too, as the API shows them."""
    return {name: shown(value) for name, value in copied_fields(source, kind).items()}


def shown(value: object) -> object:
    """Return a value as the API shows it: times as text, None as an empty text."""
    match value:
        case None:
            return ""
        case datetime():
            return time_text(value)
        case RunStatus():
            return STATUS_NAMES[value]
        case Enum():
            return value.value
        case tuple():
            return list(value)
        case _:
            return value
