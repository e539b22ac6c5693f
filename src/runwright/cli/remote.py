"""Commands that call a server: which one, as whom, and how the answer is printed.

`reads` and `writes` decorate such commands. Both add the options that choose the server and the format of
the output; `writes` also those that confirm. A command gets a `Remote` as its first argument, reads with
`remote.client` and writes with `remote.writer`, which prints the target first and asks where it is protected.
"""

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from runwright.cli.output import Output, OutputFormat, Thing, thing_of
from runwright.cli.prompts import confirm, require_name
from runwright.cli.refs import show_full_ids
from runwright.cli.signatures import CommandFunction, option, own_parameters, sign
from runwright.cli.target import TargetOptions, find_target, label_of
from runwright.cli.terminal import note

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.base import Info
    from runwright.client.targets import ServerTarget

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]


class Remote:
    """The server of one command, and its output."""

    def __init__(
        self, options: TargetOptions, output: Output, *, yes: bool = False, yes_to: Sequence[str] = ()
    ) -> None:
        self.output = output
        self.yes = yes
        self._options = options
        self._yes_to = yes_to
        self._target: ServerTarget | None = None
        self._client: Runwright | None = None
        self._announced = False

    def within(self, folder: Path, environment: str | None = None) -> None:
        """Let the file of a project choose the server, where flags and environment do not."""
        self._options = msgspec.structs.replace(self._options, folder=folder, environment=environment)

    @property
    def target(self) -> "ServerTarget":
        if self._target is None:
            self._target = find_target(self._options)
        return self._target

    @property
    def client(self) -> "Runwright":
        """Return the SDK's client; it is loaded and opened when it is first used."""
        if self._client is None:
            self._client = open_client(self.target)
        return self._client

    @property
    def writer(self) -> "Runwright":
        """Return the client for requests that change something; the target is printed before the first."""
        self.announce()
        return self.client

    def announce(self) -> None:
        """Print the target once, and have a protected one confirmed by its name."""
        if self._announced:
            return
        self._announced = True
        note(f"→ {label_of(self.target)}  {self.target.url}", "dim")
        if self.target.protected and self.target.profile is not None:
            require_name(self.target.profile, self._yes_to, f"The profile {self.target.profile}")

    def confirm(self, question: str) -> None:
        """Return when the person, or `-y`, agrees."""
        self.announce()
        confirm(question, yes=self.yes)

    def show_named(
        self, name: str, resources: "Sequence[Info]", human: Callable[[Sequence[Thing]], str]
    ) -> None:
        """Print a list; in JSON as an object with the list under its name, as AGH does."""
        things = [thing_of(each) for each in resources]
        if self.output.format is OutputFormat.JSONL:
            for thing in things:
                self.output.thing(thing, str)
        else:
            self.output.thing({name: things}, lambda: human(things))


def open_client(target: "ServerTarget", **options: Any) -> "Runwright":  # noqa: ANN401  those of the SDK
    """Return a client of the SDK, which is imported now."""
    client: Runwright = importlib.import_module("runwright.client.blocking").Runwright.for_target(
        target, **{"retries": _RETRIES, **options}
    )
    return client


def _output(text: str) -> OutputFormat:
    if text == "human":  # the name of AGH
        return OutputFormat.TABLE
    try:
        return OutputFormat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of: {', '.join(OutputFormat)}.") from None


_RETRIES: Final = 2
_TARGET: Final = "Where"
_READING: Final[dict[str, tuple[Any, object]]] = {
    "output": (
        Annotated[
            OutputFormat,
            typer.Option(
                "--output",
                "-o",
                parser=_output,
                metavar="FORMAT",
                help="table, wide, json or jsonl.",
                rich_help_panel="Output",
            ),
        ],
        OutputFormat.TABLE.value,
    ),
    "as_json": (
        Annotated[bool, typer.Option("--json", help="Same as -o json.", rich_help_panel="Output")],
        False,
    ),
    "profile": (
        Annotated[
            str | None,
            typer.Option(
                "--profile", "-p", metavar="NAME", help="The profile to use.", rich_help_panel=_TARGET
            ),
        ],
        None,
    ),
    "url": (
        Annotated[
            str | None,
            typer.Option(metavar="URL", help="The address of the server.", rich_help_panel=_TARGET),
        ],
        None,
    ),
    "tenant": (
        Annotated[
            str | None,
            typer.Option(metavar="ID", help="The tenant, with a platform key.", rich_help_panel=_TARGET),
        ],
        None,
    ),
}
_FORMAT: Final = ("output", "as_json")
_WRITING: Final[dict[str, tuple[Any, object]]] = {
    "yes": (Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", rich_help_panel=_TARGET)], False),
    "yes_to": (
        Annotated[
            list[str] | None,
            typer.Option(
                metavar="PROFILE", help="Confirm a protected profile by its name.", rich_help_panel=_TARGET
            ),
        ],
        None,
    ),
}


def takes_output(command: CommandFunction) -> CommandFunction:
    """Add the options for the format of the output to a command that calls no server, and pass `output`."""
    own = [one for one in own_parameters(command, given=0) if one.name != "output"]

    @functools.wraps(command)
    def run(*given: Any, output: OutputFormat, as_json: bool, **arguments: Any) -> None:  # noqa: ANN401  Typer's
        command(*given, output=Output(OutputFormat.JSON if as_json else output), **arguments)

    added = [option(name, *_READING[name]) for name in ("output", "as_json")]
    sign(run, [*own, *added])
    return run


def reads(command: CommandFunction) -> CommandFunction:
    """Make a command that reads from a server."""
    return _remote(command, _READING)


def connects(command: CommandFunction) -> CommandFunction:
    """Make a command that uses a server, and prints nothing in a format."""
    return _remote(command, {name: each for name, each in _READING.items() if name not in _FORMAT})


def writes(command: CommandFunction) -> CommandFunction:
    """Make a command that changes something on a server."""
    return _remote(command, _READING | _WRITING)


def _remote(command: CommandFunction, options: Mapping[str, tuple[Any, object]]) -> CommandFunction:
    own = own_parameters(command, given=1)

    @functools.wraps(command)
    def run(**arguments: Any) -> None:  # noqa: ANN401  Typer passes all by name
        given = {name: arguments.pop(name) for name in options}
        command(_open(given), **arguments)

    added = [option(name, annotation, default) for name, (annotation, default) in options.items()]
    sign(run, [*own, *added])
    return run


def _open(given: Mapping[str, Any]) -> Remote:
    target = TargetOptions(profile=given["profile"], url=given["url"], tenant=given["tenant"])
    chosen = OutputFormat.JSON if given.get("as_json") else given.get("output", OutputFormat.TABLE)
    if chosen is OutputFormat.WIDE:
        show_full_ids()
    return Remote(target, Output(chosen), yes=given.get("yes", False), yes_to=given.get("yes_to") or ())
