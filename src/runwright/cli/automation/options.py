"""Options and requests that the commands of jobs, triggers and runs have in common."""

from datetime import datetime
from typing import Annotated, TypeAlias

import typer

from runwright.cli.automation.texts import moment
from runwright.cli.remote import Remote, Thing
from runwright.core.errors import InvalidError

BASE = "/api/automation"
PAGE = 1_000


Id: TypeAlias = Annotated[str, typer.Argument(help="The id.")]
OnlyWorkspace: TypeAlias = Annotated[str | None, typer.Option(help="Only those of this workspace.")]
Last: TypeAlias = Annotated[int | None, typer.Option(min=1, help="The maximum number of entries.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option(help="Runs since this time; 2h: the last two hours.", show_default=False)
]
Until: TypeAlias = Annotated[str | None, typer.Option(help="Runs until this time.", show_default=False)]
Status: TypeAlias = Annotated[str | None, typer.Option(help="Only runs of this status.", show_default=False)]


def path_of(kind: str, some_id: str, *rest: str) -> str:
    """Return the path of a resource. Raises InvalidError if the id could change the path."""
    if not some_id or any(
        letter in "/?#%\\" or not letter.isprintable() or letter == " " for letter in some_id
    ):
        raise InvalidError({"id": ["Is not the id of anything."]})
    return "/".join([BASE, kind, some_id, *rest])


def read_list(remote: Remote, path: str, name: str, last: int | None, **query: str | None) -> list[Thing]:
    """Return the entries of a list, up to `last`, page by page."""
    things: list[Thing] = []
    cursor: str | None = None
    while last is None or len(things) < last:
        limit = PAGE if last is None else min(PAGE, last - len(things))
        page = remote.get(path, limit=limit, cursor=cursor, **query)
        found, following = page.get(name), page.get("next_cursor")
        things += [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        if not isinstance(following, str):
            break
        cursor = following
    return things


def read_runs(
    remote: Remote,
    path: str,
    now: datetime,
    *,
    last: int | None,
    since: str | None,
    until: str | None,
    **query: str | None,
) -> list[Thing]:
    """Return the runs of a period."""
    times = {"since": moment("--since", since, now), "until": moment("--until", until, now)}
    return read_list(remote, path, "runs", last, **query, **times)


def unwrapped(answer: Thing, name: str) -> Thing:
    """Return the resource in an envelope."""
    thing = answer.get(name)
    return thing if isinstance(thing, dict) else {}
