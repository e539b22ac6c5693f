"""Command-line flags for settings, derived from the settings' definitions."""

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from runwright.cli.signatures import own_parameters, sign
from runwright.config import FIELDS, describe, load_settings

_KEYS: Final = frozenset({"platform_key", "vault_key"})
"""Settings that have no flag: an argument is seen by all users of the machine."""

ALL_SETTINGS: Final = tuple(name for name in FIELDS if name not in _KEYS)
DATABASE_SETTINGS: Final = ("data_dir", "database_url")
"""Settings of commands that use the database."""

VAULT_SETTINGS: Final = (*DATABASE_SETTINGS, "vault_key_file", "vault_key_command")
"""Settings of commands that need the vault's keys."""

_CONFIG: Final = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="A TOML file with settings; default: RUNWRIGHT_CONFIG."
        ),
    ],
)


def takes_settings(names: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add one flag per named setting to a command, and pass the settings as its first argument."""
    flags = {name: _flag(name) for name in names}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = own_parameters(command, given=1)

        @functools.wraps(command)
        def run(config: Path | None = None, **arguments: str | bool | None) -> None:
            given = {name: arguments.pop(name) for name in flags}
            command(load_settings(given, os.environ, config), **arguments)

        sign(run, [*own, *flags.values(), _CONFIG])
        return run

    return decorate


def _flag(name: str) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    is_switch = get_args(FIELDS[name].type)[0] in {bool, bool | None}
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if is_switch else flag,
        help=describe(name),
        show_default=False,
        metavar=None if is_switch else _metavar(name),
    )
    annotation: object = Annotated[bool | None, option] if is_switch else Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(name: str) -> str:
    return name.rpartition("_")[2].upper()
