"""What an event is.

A type is `family.fact` in the core's words. A pattern is a type, `family.*` or `*`. An event's
data is what its subject will not say any more when somebody reads it: a job that has ended never
changes, so its ending needs none; a worker changes, so its event carries how it was.
"""

from datetime import datetime

import msgspec

from runwright.core.ids import id_of_number


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of a tenant's log."""

    position: int
    tenant_id: str
    type: str
    subject_id: str
    created_at: datetime
    data: msgspec.Raw | None = None
    ancestry: tuple[str, ...] = ()
    """Which agents and automations led to it, the first cause first."""

    @property
    def id(self) -> str:
        """Its name outside: follows from when and where it stands, so that nobody has to store it."""
        return id_of_number("evt", self.created_at, self.position)
