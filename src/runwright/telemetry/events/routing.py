"""Events of tenants on their way to subscribers."""

from runwright.telemetry.emit import TimedEvent, WarningEvent


class EventsRouted(TimedEvent, frozen=True):
    """Events were handed to their subscribers."""

    logged = False
    events: int
    created: int
    """How many deliveries, executions and runs they led to."""


class EventNotRouted(WarningEvent, frozen=True):
    """A sink failed for one event; `dropped`: it can never be routed, and was removed from the queue."""

    position: int
    dropped: bool
    error: str


class EventsWithoutSink(WarningEvent, frozen=True):
    """Events were discarded for subscribers of a kind that this server does not know."""

    kind: str
    count: int


class EventChainStopped(WarningEvent, frozen=True):
    """Executions failed because agents had triggered one another too many times."""

    executions: int
