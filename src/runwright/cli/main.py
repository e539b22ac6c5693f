"""The entry point: what the arguments name is loaded and run, and errors become exit codes.

Only the module of the named command is imported: loading the server takes ten times as long as listing jobs.
`runwright --help` and `--version` load nothing at all.
"""

import difflib
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from runwright import __version__
from runwright.cli.exits import ExitCode, print_error, report
from runwright.cli.help import render_index
from runwright.cli.index import COMMANDS
from runwright.core.errors import RunwrightError

_JSON: Final = "--json"
_SHARED_OPTIONS: Final = frozenset({"--url", "--profile", "--tenant", "-o", "--output", _JSON})
COMPLETE_VARIABLE: Final = "_RUNWRIGHT_COMPLETE"


def main() -> int:
    """Run the command that the arguments name, and return the exit code."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # names of files can have what no encoding has
    try:
        code = _command(sys.argv[1:])
        if not sys.stdout.closed:  # MCP's transport closes it
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return code


def _open_closed_streams() -> None:
    """Let what was closed for us (`>&-`) be nothing to read and nowhere to write."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  it is open until the end


def _command(arguments: list[str]) -> int:
    if COMPLETE_VARIABLE in os.environ:
        importlib.import_module("typer._completion_classes").completion_init()  # the shells that Typer knows
        return _run(arguments)
    if not arguments or arguments[0] in {"-h", "--help"} or arguments == ["help"]:
        sys.stdout.write(render_index())
        return ExitCode.OK
    if arguments[0] == "--version":
        sys.stdout.write(f"runwright {__version__}\n")
        return ExitCode.OK
    if arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    arguments = with_options_last(arguments)
    if arguments[0] not in COMMANDS:
        return _unknown(arguments[0])
    return _run(arguments)


def with_options_last(arguments: list[str]) -> list[str]:
    """Move options that stand before the command, as in `runwright --url URL jobs list`, behind it."""
    at = 0
    while at < len(arguments) and arguments[at].partition("=")[0] in _SHARED_OPTIONS:
        has_value = "=" not in arguments[at] and arguments[at] != _JSON
        at += 2 if has_value else 1
    moved, rest = arguments[:at], arguments[at:]
    if not rest:
        return arguments
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *moved, *rest[end:]]


def _unknown(name: str) -> int:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    print_error(f"There is no command {name!r}.{meant}", hint="All commands: runwright --help")
    return ExitCode.USAGE


def _run(arguments: Sequence[str]) -> int:
    gc.disable()  # what is imported is kept anyway
    apps = importlib.import_module("runwright.cli.apps")
    try:
        code = apps.Root().main(list(arguments), prog_name="runwright", standalone_mode=False)
        return int(code or ExitCode.OK)
    except RunwrightError as error:
        return report(error)
    except Exception as error:
        code = importlib.import_module("runwright.cli.library_errors").report_other(error)
        if code is None:
            raise
        return int(code)
