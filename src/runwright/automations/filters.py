"""Which automations and runs a list has."""

from datetime import datetime

import msgspec

from runwright.automations.model import RunStatus


class AutomationFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which automations to list."""

    scope: str | None = None
    workspace_id: str | None = None
    source: str | None = None
    event: str | None = None


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; both bounds are inclusive."""

    automation_ids: tuple[str, ...] = ()
    """All of them must match, so more than one matches no run."""
    status: RunStatus | None = None
    since: datetime | None = None
    until: datetime | None = None
