"""Questions to the person at the terminal; without one they are refused, never guessed."""

import sys
from collections.abc import Sequence

import typer

from runwright.cli.exits import CommandError, ExitCode, UsageError
from runwright.cli.terminal import is_interactive, painter


def confirm(question: str, *, yes: bool) -> None:
    """Return when the person, or `-y`, agrees. CommandError if not; UsageError without a person to ask."""
    if yes:
        return
    if not is_interactive():
        raise UsageError(
            f"{question} This needs a confirmation.", hint="Give -y to confirm without a terminal."
        )
    answer = ask(f"{question} [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was changed.")


def require_name(name: str, given: Sequence[str], what: str) -> None:
    """Return when the name of a protected profile was typed, or given by `--yes-to`."""
    if name in given:
        return
    if not is_interactive():
        raise UsageError(f"{what} is protected.", hint=f"Give --yes-to {name} to change something there.")
    paint = painter(sys.stderr)
    if ask(f"{what} is protected. Type {paint('bold', name)} to continue: ").strip() != name:
        raise CommandError("That is not its name. Nothing was changed.")


def ask(question: str) -> str:
    """Return a line that the person types; the question is on stderr."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise CommandError("There was no answer. Nothing was changed.", ExitCode.FAILED)
    return line


def read_secret(what: str) -> str:
    """Return a secret from a prompt that does not show it, or from stdin where that is no terminal."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True))
    text = sys.stdin.read()
    if not text.strip():
        raise UsageError(f"{what} is empty.", hint='Pipe it in: printf %s "$VALUE" | runwright …')
    return text.removesuffix("\n").removesuffix("\r")
