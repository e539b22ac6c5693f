"""Errors of automations. The messages are part of the API, and callers may rely on them."""

from datetime import datetime
from typing import ClassVar

from runwright.automations.model import AutomationKind, FireLimit, time_text
from runwright.core.errors import ConflictError, NotFoundError, RunwrightError
from runwright.cron.go_durations import format_duration


class DefinitionError(RunwrightError):
    """A definition or a query breaks a rule; the message begins with the path of the field."""

    code: ClassVar[str] = "invalid_definition"


class FireLimitError(ConflictError):
    """The fire limit of the automation is reached."""

    code: ClassVar[str] = "conflict"

    def __init__(self, fires: int, limit: FireLimit, retry_at: datetime) -> None:
        super().__init__(
            f"automation: fire limit reached: fires={fires} limit={limit.max}"
            f" window={format_duration(limit.span)} retry_at={time_text(retry_at)}"
        )
        self.retry_at = retry_at


def not_found(what: str) -> NotFoundError:
    """Return the error for a job, a trigger, a run or a task that does not exist."""
    return NotFoundError(f"automation: {what} not found")


def name_taken(kind: AutomationKind) -> ConflictError:
    """Return the error for a name that is in use in its scope."""
    return ConflictError(f"automation: {kind.value} name already exists in scope")


def webhook_id_taken() -> ConflictError:
    """Return the error for a webhook id of another trigger."""
    return ConflictError("automation: trigger webhook id already exists")


def read_only() -> ConflictError:
    """Return the error for a change of a definition that a package manages."""
    return ConflictError("automation: definition is managed and read-only")


def secret_required() -> DefinitionError:
    """Return the error for a webhook without a secret."""
    return DefinitionError("automation: webhook secret is required")
