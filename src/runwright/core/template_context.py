"""What happened, as filters and prompt templates see it: one value per event, tick or delivery."""

from typing import TypeAlias

import msgspec

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


class TemplateContext(msgspec.Struct, frozen=True, kw_only=True):
    """The event that fires a trigger."""

    kind: str
    """The event's name."""
    scope: str
    workspace_id: str = ""
    source: str
    """Who raised it, for example `webhook`."""
    data: dict[str, Json]
