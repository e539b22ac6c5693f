"""Requests to webhooks and agents."""

from typing import Literal

from runwright.telemetry.emit import TimedEvent, WarningEvent


class DeliveryAttempted(TimedEvent, frozen=True):
    """A webhook request was made."""

    logged = False
    result: Literal["delivered", "failed"]


class AgentCalled(TimedEvent, frozen=True):
    """An execution was sent to the callback URL of its agent."""

    logged = False
    result: Literal["answered", "failed"]


class OutboxSetAside(WarningEvent, frozen=True):
    """Requests were postponed because of a fault of this server; they do not count as attempts."""

    kind: str
    id: str
    error: str
    count: int = 1


class OutboxNotSettled(WarningEvent, frozen=True):
    """The outcome of a request could not be written; the request is made again."""

    kind: str
    id: str
    error: str


class OutboxOutcomeRefused(WarningEvent, frozen=True):
    """The outcome of a request was discarded because its fence was stale."""

    kind: str
    id: str
