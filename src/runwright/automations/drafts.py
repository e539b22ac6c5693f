"""What callers give: a definition to make, and what to change of one."""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from runwright.automations.model import (
    WEBHOOK_EVENT,
    Automation,
    Details,
    FireLimit,
    Kind,
    Retry,
    ScheduleSpec,
    TaskSpec,
    webhook_id_of,
)
from runwright.schedules.tick_policy import CatchUp


class AutomationCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A definition to make; whether it keeps to the rules is still to be seen."""

    kind: Kind
    scope: str = ""
    workspace_id: str = ""
    name: str = ""
    agent_name: str = ""
    prompt: str = ""
    enabled: bool = True
    fire_limit: FireLimit | None = None
    """None: the operator's."""
    event: str = ""
    webhook_id: str = ""
    endpoint_slug: str = ""
    secret: str | None = None
    """The secret of its webhook."""
    details: Details = Details()


class AutomationPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a definition; what is UNSET stays."""

    name: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    fire_limit: FireLimit | UnsetType = UNSET
    event: str | UnsetType = UNSET
    webhook_id: str | UnsetType = UNSET
    endpoint_slug: str | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    schedule: ScheduleSpec | UnsetType = UNSET
    catch_up: CatchUp | UnsetType = UNSET
    misfire_grace_seconds: int | UnsetType = UNSET
    task: TaskSpec | UnsetType = UNSET
    filter: dict[str, str] | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    secret: str | UnsetType = UNSET
    old_secret_seconds: int | UnsetType = UNSET
    """How long the secret before is good beside the new one."""

    @property
    def given(self) -> dict[str, object]:
        """What is not UNSET."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not UNSET}


_DETAILS: Final = frozenset(Details.__struct_fields__)
_NOT_KEPT: Final = frozenset({"secret", "old_secret_seconds"})


def changed(one: Automation, changes: AutomationPatch) -> Automation:
    """Return the definition as the changes want it; what a webhook has goes with its event."""
    given = {name: value for name, value in changes.given.items() if name not in _NOT_KEPT}
    details = {name: value for name, value in given.items() if name in _DETAILS}
    rest = {name: value for name, value in given.items() if name not in _DETAILS}
    after = msgspec.structs.replace(
        one, **rest, details=msgspec.structs.replace(one.details, **details) if details else one.details
    )
    if one.event == WEBHOOK_EVENT != after.event:
        return msgspec.structs.replace(
            after,
            webhook_id=rest.get("webhook_id", ""),
            endpoint_slug=rest.get("endpoint_slug", ""),
            details=msgspec.structs.replace(
                after.details, secret_ref="", signature=details.get("signature", "agh")
            ),
        )
    if after.event == WEBHOOK_EVENT and not after.webhook_id:
        return msgspec.structs.replace(after, webhook_id=webhook_id_of(one.id))
    return after
