"""Options that the commands of jobs, triggers and runs have in common, and what they select."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, TypeAlias, TypeVar

import typer

from runwright.cli.times import parse_moment

T = TypeVar("T")

Id: TypeAlias = Annotated[str, typer.Argument(help="The id.")]
OnlyWorkspace: TypeAlias = Annotated[str | None, typer.Option(help="Only those of this workspace.")]
Last: TypeAlias = Annotated[int | None, typer.Option(min=1, help="The maximum number of entries.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option(help="Runs since this time; 2h: the last two hours.", show_default=False)
]
Until: TypeAlias = Annotated[str | None, typer.Option(help="Runs until this time.", show_default=False)]
Status: TypeAlias = Annotated[str | None, typer.Option(help="Only runs of this status.", show_default=False)]


def newest(rows: Iterable[T], last: int | None) -> list[T]:
    """Return the first rows of a list, by default all."""
    return list(islice(rows, last))


def period(since: str | None, until: str | None) -> dict[str, datetime]:
    """Return the times between which runs are listed. UsageError for what is none."""
    now = datetime.now(UTC)
    given = {"since": since, "until": until}
    return {name: parse_moment(f"--{name}", text, now) for name, text in given.items() if text is not None}
