"""What the commands about jobs, triggers and runs have in common."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeAlias

import typer

from runwright.cli.automation.texts import moment
from runwright.cli.remote import Remote, Thing
from runwright.core.errors import InvalidError

BASE = "/api/automation"
PAGE = 1_000


class Scope(StrEnum):
    """Where a definition belongs."""

    GLOBAL = "global"
    WORKSPACE = "workspace"


class Source(StrEnum):
    """Where a definition comes from."""

    CONFIG = "config"
    DYNAMIC = "dynamic"


class Switch(StrEnum):
    """On or off; `--enabled=false` reads as in AGH."""

    TRUE = "true"
    FALSE = "false"


Id: TypeAlias = Annotated[str, typer.Argument(help="Its id.")]
Name: TypeAlias = Annotated[str, typer.Option(help="What it is called.")]
Agent: TypeAlias = Annotated[str, typer.Option(help="Who is prompted: a worker or a registered agent.")]
Prompt: TypeAlias = Annotated[str, typer.Option(help="What the agent is told.")]
ScopeOption: TypeAlias = Annotated[Scope, typer.Option(help="Where it belongs.")]
Workspace: TypeAlias = Annotated[str | None, typer.Option(help="The workspace, if that is its scope.")]
Retry: TypeAlias = Annotated[
    str | None, typer.Option(help="none, backoff, or backoff:<retries>:<delay>.", show_default=False)
]
Enabled: TypeAlias = Annotated[Switch | None, typer.Option(help="Whether it fires.", show_default=False)]
Last: TypeAlias = Annotated[int | None, typer.Option(min=1, help="Not more than so many.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option(help="Runs from this time on; 2h: the last two hours.", show_default=False)
]
Until: TypeAlias = Annotated[str | None, typer.Option(help="Runs until this time.", show_default=False)]
Status: TypeAlias = Annotated[str | None, typer.Option(help="Only runs of this status.", show_default=False)]


def path_of(kind: str, some_id: str, *rest: str) -> str:
    """Return the path of one thing; an id cannot lead elsewhere."""
    if not some_id or any(
        letter in "/?#%\\" or not letter.isprintable() or letter == " " for letter in some_id
    ):
        raise InvalidError({"id": ["Is not the id of anything."]})
    return "/".join([BASE, kind, some_id, *rest])


def read_list(remote: Remote, path: str, name: str, last: int | None, **query: str | None) -> list[Thing]:
    """Read a list, page by page, up to `last` things."""
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
    """Read runs of a time."""
    times = {"since": moment("--since", since, now), "until": moment("--until", until, now)}
    return read_list(remote, path, "runs", last, **query, **times)


def unwrapped(answer: Thing, name: str) -> Thing:
    """Take one thing out of its envelope."""
    thing = answer.get(name)
    return thing if isinstance(thing, dict) else {}


def changes(**given: object) -> dict[str, object]:
    """Return what was given; InvalidError where nothing was."""
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        raise InvalidError({"update": ["Requires at least one change flag."]})
    return body


def switched(enabled: Switch | None) -> bool | None:
    """Return what a switch says, None where nobody touched it."""
    return None if enabled is None else enabled is Switch.TRUE
