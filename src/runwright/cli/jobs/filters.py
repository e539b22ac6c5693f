"""The options that select jobs, which `list`, `watch`, `cancel` and `retry` have in common."""

import functools
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import typer

from runwright.cli.completion import complete_workers
from runwright.cli.exits import UsageError
from runwright.cli.refs import find_schedule, is_full_id
from runwright.cli.remote import Remote
from runwright.cli.signatures import CommandFunction, option, own_parameters, sign
from runwright.cli.terminal import one_line
from runwright.cli.times import iso, parse_duration, parse_moment, require_duration
from runwright.core.job_state import ErrorCode, JobStatus, Trigger

_PANEL: Final = "Which jobs"


class JobFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs, as typed; all that is given must be true of a job."""

    worker: str | None = None
    status: str | None = None
    trigger: Trigger | None = None
    schedule: str | None = None
    """As typed; `schedule_id` is the one that is meant."""
    schedule_id: str | None = None
    error_code: ErrorCode | None = None
    search: str | None = None
    min_duration: str | None = None
    worker_version: int | None = None
    retried: bool | None = None
    since: str | None = None
    until: str | None = None

    @property
    def given(self) -> bool:
        return self != JobFilters()

    @property
    def statuses(self) -> list[JobStatus] | None:
        """The states. UsageError for one that does not exist."""
        if self.status is None:
            return None
        names = [name.strip() for name in self.status.split(",")]
        unknown = [name for name in names if name not in set(JobStatus)]
        if unknown:
            raise UsageError(f"--status: {unknown[0]!r} is no state.", hint=f"States: {', '.join(JobStatus)}")
        return [JobStatus(name) for name in names]

    def selection(self) -> dict[str, Any]:
        """Return the jobs as the SDK selects them."""
        now = datetime.now(UTC)
        given = {
            "worker": self.worker,
            "status": self.statuses,
            "trigger": self.trigger,
            "schedule_id": self.schedule_id,
            "error_code": self.error_code,
            "q": self.search,
            "min_duration_ms": _milliseconds(self.min_duration),
            "worker_version": self.worker_version,
            "retried": self.retried,
            "since": _moment("--since", self.since, now),
            "until": _moment("--until", self.until, now),
        }
        return {name: value for name, value in given.items() if value is not None}

    def described(self) -> str:
        """Return which jobs these are, in words: `failed jobs of digest in the last 24h`."""
        states = " or ".join(self.statuses or ())
        words = [states, "jobs"]
        words += [f"of {self.worker}"] if self.worker else []
        words += [f"on v{self.worker_version}"] if self.worker_version else []
        words += [f"caused by {self.trigger}"] if self.trigger else []
        words += [f"of the schedule {self.schedule}"] if self.schedule else []
        words += [f"that ended with {self.error_code}"] if self.error_code else []
        words += [f"with {self.search!r} in their error"] if self.search else []
        words += [f"that ran for at least {self.min_duration}"] if self.min_duration else []
        words += [f"that were {'' if self.retried else 'not '}retried"] if self.retried is not None else []
        words += [f"since {self.since}"] if self.since else []
        words += [f"until {self.until}"] if self.until else []
        return one_line(" ".join(word for word in words if word))


_OPTIONS: Final[dict[str, Any]] = {
    "worker": Annotated[
        str | None,
        typer.Option(
            "--worker",
            "-w",
            metavar="NAME",
            help="Of this worker.",
            autocompletion=complete_workers,
            rich_help_panel=_PANEL,
        ),
    ],
    "status": Annotated[
        str | None,
        typer.Option(
            "--status", "-s", metavar="STATE[,STATE]", help=f"{', '.join(JobStatus)}.", rich_help_panel=_PANEL
        ),
    ],
    "since": Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Created since then: 24h, or a time.", rich_help_panel=_PANEL),
    ],
    "until": Annotated[
        str | None, typer.Option(metavar="TIME", help="Created until then.", rich_help_panel=_PANEL)
    ],
    "error_code": Annotated[
        ErrorCode | None, typer.Option(metavar="CODE", help="Ended with this error.", rich_help_panel=_PANEL)
    ],
    "search": Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="With this text in their error.", rich_help_panel=_PANEL),
    ],
    "min_duration": Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Ran for at least so long: 30s.", rich_help_panel=_PANEL),
    ],
    "trigger": Annotated[
        Trigger | None,
        typer.Option(metavar="CAUSE", help=f"Caused by: {', '.join(Trigger)}.", rich_help_panel=_PANEL),
    ],
    "schedule": Annotated[
        str | None,
        typer.Option(
            metavar="SCHEDULE",
            help="Made by this schedule: a name, an id, or the end of one.",
            rich_help_panel=_PANEL,
        ),
    ],
    "worker_version": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="On this version of their worker.", rich_help_panel=_PANEL),
    ],
    "retried": Annotated[
        bool | None,
        typer.Option("--retried/--not-retried", help="Were retried, or were not.", rich_help_panel=_PANEL),
    ],
}


def takes_job_filters(command: CommandFunction) -> CommandFunction:
    """Add the options that select jobs, and pass them as the argument `filters`."""
    own = [one for one in own_parameters(command, given=0) if one.name != "filters"]

    @functools.wraps(command)
    def run(remote: Remote, **arguments: Any) -> None:  # noqa: ANN401  Typer passes them by name
        filters = JobFilters(**{name: arguments.pop(name) for name in _OPTIONS})
        if filters.schedule is not None:
            filters = msgspec.structs.replace(filters, schedule_id=_schedule_id(remote, filters.schedule))
        command(remote, filters=filters, **arguments)

    sign(run, [*own, *(option(name, annotation, None) for name, annotation in _OPTIONS.items())])
    return run


def _schedule_id(remote: Remote, text: str) -> str:
    """Return the id of a schedule; a whole id may be that of one which is deleted."""
    return text if is_full_id(text) else find_schedule(remote.client, text).id


def _moment(name: str, text: str | None, now: datetime) -> "timedelta | str | None":
    """Return a time; a duration is sent as such, so that the server's clock counts."""
    if text is None:
        return None
    duration = parse_duration(text.removeprefix("-"))
    return iso(parse_moment(name, text, now)) if duration is None else duration


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    return round(require_duration("--min-duration", text) / timedelta(milliseconds=1))
