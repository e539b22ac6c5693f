"""What can go wrong with an automation; the messages are the API's own, and callers may rely on them."""

from datetime import datetime
from typing import ClassVar

from runwright.automations.model import FireLimit, Kind, time_text
from runwright.core.errors import ConflictError, NotFoundError, RunwrightError
from runwright.cron.go_durations import format_duration


class DefinitionError(RunwrightError):
    """A definition or a question breaks a rule; the message begins with the field's path."""

    code: ClassVar[str] = "invalid_definition"


class FireLimitError(ConflictError):
    """The automation has fired as often as it may."""

    code: ClassVar[str] = "conflict"

    def __init__(self, fires: int, limit: FireLimit, retry_at: datetime) -> None:
        super().__init__(
            f"automation: fire limit reached: fires={fires} limit={limit.max}"
            f" window={format_duration(limit.span)} retry_at={time_text(retry_at)}"
        )
        self.retry_at = retry_at


def not_found(what: str) -> NotFoundError:
    """Return the error for a job, a trigger, a run or a task that is not there."""
    return NotFoundError(f"automation: {what} not found")


def name_taken(kind: Kind) -> ConflictError:
    """Return the error for a name that another one has."""
    return ConflictError(f"automation: {kind.value} name already exists in scope")


def webhook_id_taken() -> ConflictError:
    """Return the error for a webhook id that another trigger has."""
    return ConflictError("automation: trigger webhook id already exists")


def read_only() -> ConflictError:
    """Return the error for a change of what others manage."""
    return ConflictError("automation: definition is managed and read-only")


def secret_required() -> DefinitionError:
    """Return the error for a webhook without a secret."""
    return DefinitionError("automation: webhook secret is required")
