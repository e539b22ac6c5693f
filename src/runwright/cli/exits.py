"""The exit codes, and the one place that turns an error into a code, a message and a hint."""

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Final

from runwright.cli.terminal import continued, painter, printable, width_of
from runwright.core.errors import InvalidError, NotFoundError, RunwrightError


class ExitCode(IntEnum):
    """What scripts can rely on."""

    OK = 0
    FAILED = 1
    """The job, the build or the request failed."""
    USAGE = 2
    """The command line or a file is wrong, or the server refused a value in it."""
    UNREACHABLE = 3
    REFUSED = 4
    """The key is missing, wrong, or not permitted to do this."""
    NOT_FOUND = 5
    TIMED_OUT = 6
    """What was waited for had not ended."""
    INTERRUPTED = 130


class CommandError(RunwrightError):
    """A command cannot continue, with the exit code and what to do about it."""

    code = "command"

    def __init__(
        self,
        message: str,
        exit_code: ExitCode = ExitCode.FAILED,
        *,
        hint: str = "",
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint
        self.fields = fields or {}


class UsageError(CommandError):
    """The command line or a file is wrong."""

    def __init__(
        self, message: str, *, hint: str = "", fields: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        super().__init__(message, ExitCode.USAGE, hint=hint, fields=fields)


_STATUSES: Final = {
    400: ExitCode.USAGE,
    401: ExitCode.REFUSED,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    408: ExitCode.UNREACHABLE,
    413: ExitCode.USAGE,
    422: ExitCode.USAGE,
    502: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
    504: ExitCode.UNREACHABLE,
}
_INDENT: Final = " " * 6
_HINTS: Final = {
    401: "Log in anew: runwright login. Which key is used: runwright whoami",
    403: "See which role you have: runwright whoami",
}


def exit_code_of(status: int) -> ExitCode:
    """Return the exit code for an HTTP status that is an error."""
    return _STATUSES.get(status, ExitCode.FAILED)


def from_answer(
    status: int, message: str, fields: Mapping[str, Sequence[str]], *, request_id: str | None
) -> CommandError:
    """Return the error for an answer of the server."""
    hint = _HINTS.get(status, "")
    if status >= 500 and request_id:  # noqa: PLR2004  the server's own errors
        hint = f"The server's log has more under the request id {request_id}."
    return CommandError(message, exit_code_of(status), fields=fields, hint=hint)


def report(error: RunwrightError) -> int:
    """Print an error on stderr, with its fields and a hint, and return the exit code."""
    fields = getattr(error, "fields", {})
    print_error(error.message, fields, getattr(error, "hint", ""))
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, InvalidError):
        return ExitCode.USAGE
    return ExitCode.NOT_FOUND if isinstance(error, NotFoundError) else ExitCode.FAILED


def _field_lines(named: Mapping[str, str]) -> Iterator[str]:
    """Yield fields beside their problems, or above them where a terminal is too narrow for both."""
    paint, columns = painter(sys.stderr), width_of(sys.stderr)
    width = max(map(len, named), default=0)
    fits = columns is None or all(width + len(problem) + 4 <= columns for problem in named.values())
    for name, problem in named.items():
        if columns is None or fits:
            yield f"  {paint('bold', name.ljust(width))}  {problem}"
        else:
            yield f"  {paint('bold', name)}"
            yield textwrap.fill(problem, columns, initial_indent=_INDENT, subsequent_indent=_INDENT)


def print_error(message: str, fields: Mapping[str, Sequence[str]] | None = None, hint: str = "") -> None:
    """Print what is wrong, field by field, and what to do about it."""
    paint = painter(sys.stderr)
    lines = [f"{paint('bold red', 'error:')} {continued(printable(message))}"]
    named = {printable(field): printable(" ".join(problems)) for field, problems in (fields or {}).items()}
    lines += _field_lines(named)
    if hint:
        lines.append(f"{paint('cyan', 'hint:')} {printable(hint)}")
    sys.stderr.write("\n".join(lines) + "\n")
