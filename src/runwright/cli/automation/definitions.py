"""The commands that jobs and triggers have in common, and their options.

The options of `create` and `update` are derived from the fields of definitions, so that a new field has its
option without further code, if its type has a notation on the command line.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from runwright.automations.model import SHORT_NAMES, AutomationDefinition, RunRetryPolicy, ScheduleSpec
from runwright.automations.webhook_schemes import WebhookHmac
from runwright.cli.automation.notation import (
    filter_body,
    hmac_body,
    limit_text,
    retry_body,
    retry_text,
    schedule_body,
    schedule_text,
)
from runwright.cli.automation.options import Last, Since, Status, Until, newest
from runwright.cli.automation.runs import show_runs, which_runs
from runwright.cli.help import EXAMPLES_TITLE
from runwright.cli.output import Column, Json, Thing, plain, render_table, section, thing_of
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.terminal import width_of
from runwright.core.errors import InvalidError
from runwright.core.struct_fields import inspect_fields, plain_type

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.automations import AutomationInfo

_TEXTS: Final[Mapping[str, Callable[[Json], str]]] = {
    "schedule": schedule_text,
    "retry": retry_text,
    "fire_limit": limit_text,
}
"""How values are shown to people; others by `plain`."""


_LONGEST_CHOICES: Final = 40
"""Longer lists of choices are in an option's help and not beside its name."""


class Switch(StrEnum):
    """On or off; `--enabled=false` is AGH's notation."""

    TRUE = "true"
    FALSE = "false"


class _Notation(msgspec.Struct, frozen=True):
    """How values of a type are written on the command line."""

    annotation: Any
    parse: Callable[[Any], object]
    help: str = ""


_STRUCTS: Final[Mapping[type, _Notation]] = {
    RunRetryPolicy: _Notation(str, retry_body, "none, backoff, or backoff:<retries>:<delay>."),
    WebhookHmac: _Notation(list[str], hmac_body, "name=value; repeatable."),
    ScheduleSpec: _Notation(str, schedule_body, "A cron expression, every:<duration>, or at:<time>."),
}
_VALUES: Final[Mapping[type, _Notation]] = {
    msgspec.inspect.StrType: _Notation(str, str),
    msgspec.inspect.BoolType: _Notation(Switch, lambda value: value is Switch.TRUE),
    msgspec.inspect.DictType: _Notation(list[str], filter_body, "path=value; repeatable."),
}

Command = Callable[..., None]


def takes_definition(fields: type[AutomationDefinition], *, new: bool) -> Callable[[Command], Command]:
    """Give a command the options of a definition; it gets their values as the argument `body`.

    `new`: required fields have required options; otherwise all are optional and the scope cannot be given.
    """
    options = {
        SHORT_NAMES.get(field.name, field.name): (field, notation)
        for field in inspect_fields(fields)
        if (notation := _notation_of(field)) is not None and (new or field.name != "scope")
    }

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(remote: Remote, **arguments: Any) -> None:  # noqa: ANN401  Typer passes them by name
            body: dict[str, object] = {}
            for name, (field, notation) in options.items():
                value = arguments.pop(name)
                if value not in (None, [], ()):
                    body[field.name] = notation.parse(value)
            command(remote, body=body, **arguments)

        own = [one for one in inspect.signature(command).parameters.values() if one.name != "body"]
        added = [_parameter(name, *option, new=new) for name, option in options.items()]
        run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        return run

    return decorate


def _notation_of(field: msgspec.inspect.Field) -> _Notation | None:
    kind, _ = plain_type(field.type)
    if isinstance(kind, msgspec.inspect.StructType):
        return _STRUCTS.get(kind.cls)
    return _VALUES.get(type(kind))


def _parameter(
    name: str, field: msgspec.inspect.Field, notation: _Notation, *, new: bool
) -> inspect.Parameter:
    required, notes = new and field.required, plain_type(field.type)[1]
    text = " ".join(part for part in (notes.get("description"), notation.help) if part).replace("`", "")
    kind: Any = (
        StrEnum(name, [(each, each) for each in notes["enum"]]) if "enum" in notes else notation.annotation
    )
    choices = ", ".join(notes.get("enum", ()))
    metavar = name.rpartition("_")[2].upper() if len(choices) > _LONGEST_CHOICES else None
    if metavar is not None:
        text = f"{text} One of: {choices}."
    option = typer.Option(help=text, show_default=False, metavar=metavar)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, option],
    )


class DefinitionCommands:
    """The commands of jobs or of triggers; they print the answers of the server."""

    def __init__(
        self,
        name: str,
        *,
        extra: Callable[["AutomationInfo"], Thing] = lambda _: {},
        hidden: Sequence[str] = (),
        columns: Sequence[str],
    ) -> None:
        """`name` is the API's name of one; `extra` returns further values to show, `hidden` are not shown."""
        self._one, self._many = name, f"{name}s"
        self._sample = "job-5f2c" if name == "job" else "trg-5f2c"
        self._id = typer.Argument(help="The id.", metavar=f"{name}_id")
        self._extra = extra
        self._hidden = {"id", "name", *hidden}
        self._columns = columns

    def list(self, remote: Remote, last: int | None, **query: str | None) -> None:
        given = {name: value for name, value in query.items() if value is not None}
        remote.show_named(self._many, newest(self._api(remote.client).list(**given), last), self._table)

    def create(self, remote: Remote, body: Mapping[str, object]) -> None:
        self._show(remote, self._api(remote.writer).create(**body))

    def change(self, remote: Remote, one_id: str, body: Mapping[str, object]) -> None:
        if not body:
            raise InvalidError({"update": ["Requires at least one change flag."]})
        self._show(remote, self._api(remote.writer).update(one_id, **body))

    def _api(self, client: "Runwright") -> Any:  # noqa: ANN401  of jobs or triggers, which have the same methods
        return getattr(client.automations, self._many)

    def add_get(self, app: typer.Typer) -> None:
        """Add the command `get`."""

        @app.command(help=_help(f"Show one {self._one}.", f"{self._many} get {self._sample}"))
        @reads
        def get(remote: Remote, *, one_id: Annotated[str, self._id]) -> None:
            self._show(remote, self._api(remote.client).get(one_id))

    def add_delete(self, app: typer.Typer) -> None:
        """Add the command `delete`."""

        @app.command(help=_help(f"Delete a {self._one} and print it.", f"{self._many} delete {self._sample}"))
        @writes
        def delete(remote: Remote, *, one_id: Annotated[str, self._id]) -> None:
            found = self._api(remote.client).get(one_id)
            self._api(remote.writer).delete(one_id)
            self._show(remote, found)

    def add_history(self, app: typer.Typer) -> None:
        """Add the command `history`."""

        @app.command(
            help=_help(
                f"List the runs of a {self._one}, newest first.", f"{self._many} history {self._sample}"
            )
        )
        @reads
        def history(
            remote: Remote,
            *,
            one_id: Annotated[str, self._id],
            status: Status = None,
            since: Since = None,
            until: Until = None,
            last: Last = None,
        ) -> None:
            runs = self._api(remote.client).runs(one_id, **which_runs(status, since, until))
            show_runs(remote, newest(runs, last))

    def _show(self, remote: Remote, automation: "AutomationInfo") -> None:
        remote.output.thing(automation, lambda: self._describe(automation))

    def _describe(self, automation: "AutomationInfo") -> str:
        one = thing_of(automation)
        shown = {"id": automation.id} | {name: one[name] for name in one if name not in self._hidden}
        rows = {_label(name): _text(name, value) for name, value in (shown | self._extra(automation)).items()}
        return section(f"{self._one.title()} {automation.name}", rows)

    def _table(self, things: Sequence[Thing]) -> str:
        columns = [
            Column[Thing](_label(name).upper(), partial(_cell, name), flexible=name == "name")
            for name in self._columns
        ]
        return render_table(things, columns, cut_to=width_of(sys.stdout)) if things else "none"


def _help(about: str, example: str) -> str:
    return f"{about}\n\n{EXAMPLES_TITLE}\n$ runwright automation {example}"


def _label(name: str) -> str:
    return SHORT_NAMES.get(name, name.removesuffix("_at")).replace("_", " ")


def _cell(name: str, one: Thing) -> str:
    return _text(name, one.get(name))


def _text(name: str, value: Json) -> str:
    return _TEXTS.get(name, plain)(value)
