"""Events.

A type is `family.fact`. A pattern is a type, `family.*` or `*`. The data of one of our own events is what can
no longer be read from its subject later: a job that has ended never changes, so its event needs none; a
worker changes, so its event has a copy.
"""

from datetime import datetime

import msgspec

from runwright.core.ids import id_of_number


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a tenant's log."""

    position: int
    tenant_id: str
    type: str
    subject_id: str
    created_at: datetime
    data: msgspec.Raw | None = None
    ancestry: tuple[str, ...] = ()
    """The agents and automations that led to it, the first cause first."""

    @property
    def id(self) -> str:
        """The public id; derived from time and position, and not stored."""
        return id_of_number("evt", self.created_at, self.position)
