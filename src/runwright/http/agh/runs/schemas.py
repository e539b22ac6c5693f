"""The schemas of runs."""

from datetime import datetime
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.errors import DefinitionError
from runwright.automations.filters import RunFilter
from runwright.automations.model import AutomationKind, Run, RunAttempt
from runwright.automations.rules import quoted
from runwright.automations.schedule_parsing import parse_time
from runwright.http.agh.fields import STATUS_NAMES, NextCursor, Time, shown_fields
from runwright.http.agh.requests import PageQuery

_STATUSES: Final = {name: status for status, name in STATUS_NAMES.items()}
_TIME: Final = Meta(extra_json_schema={"format": "date-time"})


class RunQuery(PageQuery, frozen=True, kw_only=True):
    """Which runs of a job or a trigger to list."""

    status: Annotated[str, Meta(extra_json_schema={"enum": list(_STATUSES)})] | UnsetType = UNSET
    since: Annotated[str, _TIME, Meta(description="Started then or later; RFC 3339.")] | UnsetType = UNSET
    until: Annotated[str, _TIME, Meta(description="Started then or earlier; RFC 3339.")] | UnsetType = UNSET

    def filter(self, automation_ids: tuple[str, ...]) -> RunFilter:
        """Return which runs to list. Raises DefinitionError if the query is invalid."""
        status, since, until = (
            self.status or None,
            _parse_time(self.since, "since"),
            _parse_time(self.until, "until"),
        )
        if status not in {None, *_STATUSES}:
            names = ", ".join(quoted(name) for name in list(_STATUSES)[:-1])
            raise DefinitionError(f'status must be one of {names}, or "canceled": {quoted(status or "")}')
        if since is not None and until is not None and until < since:
            raise DefinitionError("until must not be before since")
        return RunFilter(
            automation_ids=automation_ids,
            status=None if status is None else _STATUSES[status],
            since=since,
            until=until,
        )


def _parse_time(text: str | UnsetType, name: str) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        raise DefinitionError(f"invalid time {quoted(text or '')} for {name}: it must be RFC 3339") from None


class AnyRunQuery(RunQuery, frozen=True, kw_only=True):
    """Which runs to list."""

    job_id: str | UnsetType = UNSET
    trigger_id: str | UnsetType = UNSET


Status = Annotated[str, Meta(extra_json_schema={"enum": list(_STATUSES)})]


class RunOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One firing."""

    id: str
    job_id: str = ""
    trigger_id: str = ""
    session_id: Annotated[str, Meta(description="The job or the execution of the agent.")] = ""
    task_id: str = ""
    task_run_id: str = ""
    status: Status
    attempt: int
    fire_id: str = ""
    scheduled_at: Time = ""
    started_at: Time = ""
    ended_at: Time = ""
    error: str = ""
    delivery_error: str = ""
    delivery_error_at: Time = ""
    warnings: Annotated[list[str], Meta(description="Problems that did not fail the run.")] = []


class RunEnvelope(msgspec.Struct, frozen=True):
    """One run."""

    run: RunOut


class RunList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Runs, newest first."""

    runs: list[RunOut]
    next_cursor: NextCursor = ""


class RunAttemptOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of a run."""

    openapi_name: ClassVar[str] = "Attempt"

    attempt: int
    status: Status
    session_id: Annotated[str, Meta(description="The last job, or the execution, of the agent.")] = ""
    started_at: Time
    ended_at: Time = ""
    error: str = ""


class RunAttemptList(msgspec.Struct, frozen=True):
    """The attempts of a run in order."""

    openapi_name: ClassVar[str] = "AttemptList"

    attempts: list[RunAttemptOut]


def run_out(run: Run) -> RunOut:
    """Return a run as the API shows it."""
    fired_by = "job_id" if run.kind is AutomationKind.JOB else "trigger_id"
    return RunOut(**shown_fields(run, RunOut) | {fired_by: run.automation_id})


def run_attempt_out(attempt: RunAttempt) -> RunAttemptOut:
    """Return an attempt as the API shows it."""
    return RunAttemptOut(**shown_fields(attempt, RunAttemptOut))
