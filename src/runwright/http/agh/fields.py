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
    """Return the fields of `source` that `kind` has too."""
    names = (name for name in kind.__struct_fields__ if name in source.__struct_fields__)
    return {name: getattr(source, name) for name in names}


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
