"""Errors that are not ours: Typer's, the SDK's, the database's. Loaded only when there is one."""

import importlib
import sys
from typing import Final

import typer

from runwright.cli.exits import ExitCode, from_answer, print_error, report
from runwright.client.errors import ApiError, ClientError, InvalidValueError, SetupError, Unreachable
from runwright.client.worker_names import AmbiguousNameError

_COMMAND_LINE: Final = tuple(
    one for one in typer.BadParameter.__mro__ if issubclass(one, Exception) and one is not Exception
)
"""Typer's errors of the command line, whose common base it does not export."""


_OF_THE_CALLER: Final = (AmbiguousNameError, InvalidValueError, SetupError)
"""What the SDK refuses before anything is sent."""

_HELP: Final = "NoArgsIsHelpError"
"""Typer's error for a group without a command; its message is the help."""


def report_other(error: Exception) -> int | None:
    """Print an error and return the exit code; None for one that is a fault of this program."""
    if isinstance(error, _COMMAND_LINE):
        return _report_usage(error)
    if isinstance(error, typer.Abort):
        sys.stderr.write("Nothing was changed.\n")
        return ExitCode.FAILED
    if isinstance(error, ClientError):
        return _report_client(error)
    code = _report_database(error)
    return _report_system(error) if code is None and isinstance(error, OSError) else code


def _report_system(error: OSError) -> int | None:
    """Report what the system refuses: a file that cannot be read, a disk that is full."""
    if error.strerror is None:
        return None
    print_error(f"{error.strerror}." if error.filename is None else f"{error.filename}: {error.strerror}.")
    return ExitCode.FAILED if error.filename is None else ExitCode.USAGE


def _report_usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "runwright"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == _HELP:
        sys.stderr.write(f"{message}\n")
        return ExitCode.USAGE
    print_error(message, hint=f"{path} --help")
    return ExitCode.USAGE


def _report_client(error: ClientError) -> int:
    if isinstance(error, ApiError):
        return report(from_answer(error.status, error.message, error.fields, request_id=error.request_id))
    if isinstance(error, Unreachable):
        hint = "Is it running? A local one: runwright serve. Which one commands use: runwright whoami"
        print_error(error.message, hint=hint)
        return ExitCode.UNREACHABLE
    print_error(error.message)
    return ExitCode.USAGE if isinstance(error, _OF_THE_CALLER) else ExitCode.FAILED


def _report_database(error: Exception) -> int | None:
    """Report that the database is unavailable. Its modules are loaded where a command has used them."""
    errors = sys.modules.get("runwright.db.errors")
    if errors is None:
        return None
    refusal = importlib.import_module("runwright.db.refusals").explain_refusal(error)
    if refusal is not None:
        print_error(refusal.message, hint=refusal.hint)
        return ExitCode.UNREACHABLE
    is_of_file = isinstance(error, OSError) and error.filename is not None
    if is_of_file or not errors.transient(error):
        return None
    print_error(f"The database is unavailable: {error}.", hint="Check that it runs, and --database-url.")
    return ExitCode.UNREACHABLE
