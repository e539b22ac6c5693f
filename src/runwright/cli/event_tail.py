"""`runwright events tail`: the newest events, and those that follow."""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from runwright.cli.completion import complete_workers
from runwright.cli.exits import ExitCode
from runwright.cli.output import write_json
from runwright.cli.refs import short_id
from runwright.cli.remote import Remote, open_client, reads
from runwright.cli.target import label_of
from runwright.cli.terminal import note, one_line, painter, width_of
from runwright.cli.text_width import cut

if TYPE_CHECKING:
    from runwright.client.models.events import EventInfo, EventListOptions, StreamOptions

PATIENT_RETRIES: Final = 100_000
"""A stream is opened anew until Ctrl-C: first at once, then every few seconds."""

TYPE_COLUMNS: Final = 18
_SEARCHED: Final = 1_000
_REMEMBERED: Final = 1_000
_STYLES: Final = {"failed": "red", "abandoned": "red", "cancelled": "yellow", "completed": "green"}

Types: TypeAlias = Annotated[
    str | None, typer.Option("--type", "-t", metavar="TYPES", help="Such as job.failed,custom.*")
]


@reads
def tail(
    remote: Remote,
    *,
    types: Types = None,
    subject: Annotated[
        str | None, typer.Option(metavar="ID", help="Only events about this job, schedule or delivery.")
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option(
            metavar="WORKER",
            help="Only events of this worker and its jobs.",
            autocompletion=complete_workers,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue with new events as they happen.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, max=1000, help="How many of the newest to begin with.")
    ] = 10,
) -> None:
    """Print the newest events, and with -f those that follow, until Ctrl-C.

    A connection that is lost is opened again, and continues after the last event. While -f runs, frequent
    events are in the log too: those of queued and started jobs, of deliveries, executions and runs.

    Examples:
    $ runwright events tail
    $ runwright events tail -f --type 'job.*,custom.*'
    """
    tailer = _Tailer(remote, _selection(remote, types, subject, worker), limit)
    tailer.show_newest()
    if follow:
        try:
            tailer.follow()
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def _selection(remote: Remote, types: str | None, subject: str | None, worker: str | None) -> "StreamOptions":
    which: StreamOptions = {}
    if types is not None:
        which["type"] = types
    if subject is not None:
        which["subject_id"] = subject
    if worker is not None:
        which["worker_id"] = remote.client.workers.get(worker).id
    return which


class _Tailer:
    """Prints events, each once."""

    def __init__(self, remote: Remote, which: "StreamOptions", limit: int) -> None:
        self._remote = remote
        self._which = which
        self._limit = limit
        self._printed: deque[str] = deque(maxlen=_REMEMBERED)

    def show_newest(self) -> None:
        """Print the newest events, the oldest of them first."""
        newest = list(islice(self._listed(), self._limit)) if self._limit else []
        for event in reversed(newest):
            self._show(event)

    def follow(self) -> None:
        """Print events as they happen."""
        if not self._limit:
            self._remote.client.events.list(per_page=1).page()  # what is wrong is reported now
        for event in follow_events(self._remote, self._which, self.show_newest):
            self._show(event)

    def _listed(self) -> "Iterator[EventInfo]":
        selection: EventListOptions = {"per_page": 100}
        if "type" in self._which:
            selection["type"] = self._which["type"]
        if "subject_id" in self._which:
            selection["subject_id"] = self._which["subject_id"]
        wanted = self._which.get("worker_id")
        for event in islice(self._remote.client.events.list(**selection), _SEARCHED):
            if wanted is None or wanted in {event.worker_id, event.subject_id}:
                yield event

    def _show(self, event: "EventInfo") -> None:
        if event.id in self._printed:
            return
        self._printed.append(event.id)
        if self._remote.output.is_table:
            sys.stdout.write(event_line(event) + "\n")
        else:
            write_json(event, indent=None)
        sys.stdout.flush()


def follow_events(
    remote: Remote, which: "StreamOptions", on_open: Callable[[], None]
) -> "Iterator[EventInfo]":
    """Yield events as they happen, across lost connections; `on_open`: from now on all of them come."""
    opened = False
    with open_client(remote.target, retries=PATIENT_RETRIES) as client:
        for entry in client.stream(**which):
            if entry.kind == "open" and opened:
                note("connected again", "dim")
            elif entry.kind == "open":
                opened = True
                note(f"following {label_of(remote.target)}  {remote.target.url}   Ctrl-C stops", "dim")
                on_open()
            elif entry.kind == "gone":
                note("! events may be missing here: the connection was away for too long", "yellow")
            elif entry.event is not None:
                yield entry.event


def event_line(event: "EventInfo") -> str:
    """Return an event on one line, which a terminal shows whole."""
    paint, columns = painter(sys.stdout), width_of(sys.stdout)
    clock, kind = event_clock(event), event.type.ljust(TYPE_COLUMNS)
    subject = short_id(event.subject_id, sys.stdout) if event.subject_id else ""
    data = _data_text(event)
    if columns is not None:
        data = cut(data, max(columns - len(f"{clock}  {kind}  {subject}  "), 0))
    style = _STYLES.get(event.type.rpartition(".")[2], "")
    parts = (paint("dim", clock), paint(f"bold {style}".strip(), kind), subject, paint("dim", data))
    return "  ".join(part for part in parts if part).rstrip()


def event_clock(event: "EventInfo") -> str:
    """Return the time of an event: of the day on a terminal, else in full."""
    if sys.stdout.isatty():
        return f"{event.created_at.astimezone():%H:%M:%S}"
    return f"{event.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _data_text(event: "EventInfo") -> str:
    if event.data_omitted:
        return "(large: runwright events get)"
    return "" if event.data is None else one_line(json.dumps(event.data, ensure_ascii=False))
