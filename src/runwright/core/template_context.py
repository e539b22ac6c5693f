"""The data that filters and prompt templates can use: one value for each event, tick or delivery."""

from typing import Any, TypeAlias

import msgspec

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


class TemplateContext(msgspec.Struct, frozen=True, kw_only=True):
    """The event that fires a trigger."""

    kind: str
    """The event's name."""
    scope: str
    workspace_id: str = ""
    source: str
    """The origin of the event, for example `webhook`."""
    data: dict[str, Any]
    """JSON values; those of events that no filter has looked into are still text (`msgspec.Raw`)."""
