"""Commands and groups of commands: Typer's, with our help and with modules that are loaded when needed."""

import importlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from runwright.cli.exits import UsageError
from runwright.cli.help import render_help, render_index
from runwright.cli.index import ABOUT, COMMANDS
from runwright.cli.interrupts import raise_again

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command whose help has examples."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as below
        raise_again()
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  Typer's own types are private
        formatter.write(render_help(self, ctx))


class Group(TyperGroup):
    """A group of commands."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  as below
        raise_again()
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  as above
        formatter.write(render_help(self, ctx))


class Commands(typer.Typer):
    """The commands of a noun. The help of a group is the noun's summary, that of a command its docstring."""

    def __init__(self, summary: str | None = None, *, runs_alone: bool = False) -> None:
        """`runs_alone`: without a command its callback runs, which has the summary; else there is help."""
        super().__init__(
            cls=Group,
            help=typer.models.Default(None) if summary is None else summary,
            no_args_is_help=not runs_alone,
            invoke_without_command=runs_alone,
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings=_SETTINGS,
        )
        self.callback()(_no_options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:  # noqa: ANN401  Typer's
        """Add a command; the rest of its options are Typer's."""
        options.setdefault("cls", Command)
        options.setdefault("context_settings", _SETTINGS)
        return super().command(name, **options)


def _no_options() -> None:
    pass


class Root(TyperGroup):
    """All commands; a module is imported when its command is needed."""

    def __init__(self) -> None:
        super().__init__(
            name="runwright",
            help=ABOUT,
            no_args_is_help=True,
            rich_markup_mode=None,
            context_settings=_SETTINGS,
        )

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  as above
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  as above
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002  as above
        formatter.write(render_index())

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401
        """Complete the name of a command without loading it."""
        found = super().shell_complete(ctx, "-") if incomplete.startswith("-") else []
        return found or list(_items(incomplete))


def _items(incomplete: str) -> Iterable[Any]:
    make = importlib.import_module("typer.core").CompletionItem
    return (make(name, help=summary) for name, summary in COMMANDS.items() if name.startswith(incomplete))


def load_app(noun: str) -> typer.Typer:
    """Return the command or the group of a noun as Typer defines it; its module is imported now."""
    module = _import(noun)
    app = getattr(module, "app", None)
    if not isinstance(app, typer.Typer):
        app = Commands(COMMANDS[noun])
        app.registered_callback = None
        app.command(noun)(getattr(module, noun))
    return app


def _import(noun: str) -> ModuleType:
    try:
        return importlib.import_module(f"runwright.cli.{noun}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"runwright", "asyncpg"}:  # the client alone is installed
            raise UsageError(
                f"This installation has no {noun}: it has no server.", hint="pip install runwright"
            ) from None
        raise


def load_command(noun: str) -> Any:  # noqa: ANN401  as above
    """Return the command or the group of a noun, ready to run."""
    command = typer.main.get_command(load_app(noun))
    command.name = noun
    return command
